"""What the HTML pages share: `document` is the frame of a page, `markup` the small pieces that it is made of.

A page is one file: no script, nothing from outside, readable on a phone, on paper, in light and dark.
"""
