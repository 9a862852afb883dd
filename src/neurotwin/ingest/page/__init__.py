"""The report of an ingest as a page."""

from neurotwin.ingest.page.page import PAGE_NAME, SECTIONS, render_page, write_page

__all__ = ["PAGE_NAME", "SECTIONS", "render_page", "write_page"]
