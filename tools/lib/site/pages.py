"""Lays the documents out as the pages of the site: each where the navigation expects it, with links that hold there."""
import os
import pathlib
import re
import shutil

import headers
import markdown

# Where documents outside of docs/ go. All of docs/NAME.md is NAME.md.
PLACES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "project/architecture.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "SECURITY.md": "project/security.md",
}
COMMENT = re.compile(r"^<!--.*?-->\n", re.MULTILINE)
LANGUAGES = {".cpp": "cpp", ".hpp": "cpp", ".py": "python", ".toml": "toml", ".json": "json", ".txt": "text"}


class Pages:
    def __init__(self, root: pathlib.Path, target: pathlib.Path) -> None:
        self.root = root
        self.target = target
        documents = {f"docs/{page.name}": page.name for page in sorted((root / "docs").glob("*.md"))}
        self.places = PLACES | documents
        self.sources: set[str] = set()
        self.images: set[str] = set()
        self.headers = headers.anchors_of_headers(root)

    def lay_out(self) -> None:
        for document, place in self.places.items():
            text = COMMENT.sub("", (self.root / document).read_text(encoding="utf-8"))
            text = markdown.name_links(text, lambda link: self.title(document, link))
            if place == "index.md":
                text = "---\nhide:\n  - navigation\n---\n\n" + text  # the tabs above it have all
            self.write(place, markdown.replace_links(text, lambda link: self.moved(document, place, link)))
        for source in sorted(self.sources):
            self.write_source(source)
        for image in sorted(self.images):
            page = self.target / image.removeprefix("docs/")
            page.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.root / image, page)

    def title(self, document: str, link: str) -> str:
        """Of the document that a link leads to."""
        target = self.root / os.path.dirname(document) / link
        return next(iter(markdown.headings(target.read_text(encoding="utf-8"))), link) if target.is_file() else link

    def moved(self, document: str, place: str, link: str) -> str:
        """What a link of the document is on its page."""
        path, hash_, anchor = link.partition("#")
        if not path or markdown.is_elsewhere(link):
            return link
        there = os.path.normpath(os.path.join(os.path.dirname(document), path))
        if there == "examples":
            there = "docs/examples.md"
        if there in self.headers:
            page = self.headers[there]
        elif there in self.places:
            page = self.places[there]
        elif there.startswith("docs/images/"):
            page = there.removeprefix("docs/")
            self.images.add(there)
        elif (self.root / there).is_file():
            page = f"source/{there}.md"
            self.sources.add(there)
        else:
            raise SystemExit(f"{document}: no page of the site has what this links to: {link}")
        return os.path.relpath(page, os.path.dirname(place) or ".") + hash_ + anchor

    def write_source(self, source: str) -> None:
        """A page for a file of the project that a document links to."""
        language = LANGUAGES.get(pathlib.PurePath(source).suffix, "text")
        code = (self.root / source).read_text(encoding="utf-8")
        self.write(f"source/{source}.md", f"# {source}\n\n````{language}\n{code}````\n")

    def write(self, place: str, text: str) -> None:
        page = self.target / place
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(text, encoding="utf-8")
