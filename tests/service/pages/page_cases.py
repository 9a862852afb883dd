"""What the tests of the pages share: a patient, and a reader of HTML that knows labels."""

from html.parser import HTMLParser

PATIENT = {
    "id": "p-17",
    "time_unit": "d",
    "static": {"stage": "II"},
    "observations": [
        {"t": 0, "variable": "tumour_volume", "value": 31.2, "unit": "cm3"},
        {"t": 10, "variable": "tumour_volume", "value": 33.0, "unit": "cm3"},
        {"t": 20, "variable": "tumour_volume", "value": 29.5, "unit": "cm3"},
    ],
    "treatments": [{"t": 11, "treatment": "radiotherapy", "amount": 2, "unit": "Gy"}],
}
FORECAST = {
    "plan": {
        "name": "as it is",
        "time_unit": "d",
        "treatments": [],
        "query": {"every": 5, "until": 30},
        "ongoing": "continue",
    },
    "risk": {
        "event": {"channel": "tumour_volume", "above": 40, "unit": "cm3"},
        "horizon": {"time_unit": "d", "every": 5, "until": 30},
    },
}
CONTROLS = {"input", "select", "textarea"}
EMPTY = {"input", "meta", "link", "br", "path", "rect", "line", "circle"}


class Html(HTMLParser):
    """Elements of a page as (name, attributes), and the controls that stand in no label and have no name."""

    def __init__(self, content):
        super().__init__()
        self.elements, self.open, self.nameless, self.words = [], [], [], []
        self.feed(content)
        self.close()

    def handle_starttag(self, name, attributes):
        told = dict(attributes)
        self.elements.append((name, told))
        if name in CONTROLS and "label" not in self.open and not {"aria-label", "aria-labelledby"} & set(told):
            self.nameless.append(told)
        if name not in EMPTY:
            self.open.append(name)

    def handle_endtag(self, name):
        if name in self.open:
            while self.open.pop() != name:
                pass

    def handle_data(self, words):
        if not {"script", "style"} & set(self.open):
            self.words.append(words)

    def all(self, name):
        """Attributes of the elements of a name."""
        return [told for found, told in self.elements if found == name]

    @property
    def text(self):
        """What a reader sees."""
        return " ".join(" ".join(self.words).split())
