"""A page as a program reads it: its tags, its texts with the elements around them, and its exact numbers."""

from html.parser import HTMLParser

EMPTY = {"meta", "br", "rect", "circle", "line", "polyline"}


class Read(HTMLParser):
    """`tags`: (name, attributes). `texts`: (elements around it, text). `numbers`: exact value → the text shown."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts, self.numbers, self.open = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == [], f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "data":
            self.numbers.append((dict(attrs)["value"], ""))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((tuple(self.open), data))
        if self.open and self.open[-1] == "data":
            value, text = self.numbers[-1]
            self.numbers[-1] = (value, text + data)

    @property
    def text(self):
        """What a person reads, apart from style."""
        return " ".join(" ".join(text.split()) for around, text in self.texts if "style" not in around and text.strip())


def leaves(value):
    """Every text and number in a JSON value."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from leaves(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from leaves(each)
    elif value is not None:
        yield str(value)
