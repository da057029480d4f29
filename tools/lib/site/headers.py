"""The reference of the public headers: a page for each topic, made of their declarations and `///` comments.

It reads what clang-format has laid out, so it needs no parser of C++: a declaration begins where a line does, and ends
where its brackets are closed. What is in `namespace detail` and behind `private:` is left out, but for the classes that
public ones inherit their verbs from.
"""
import dataclasses
import pathlib
import re

TOPICS = {
    "Manager and lease": ("manager", "options", "backend", "lease", "initializer", "worker_value"),
    "Functions and setup": ("leasepool", "fwd", "init", "function"),
    "Grinder": ("grinder", "detail/item_verbs", "grinder_options", "batch_function", "pending", "grinder_stats"),
    "Loop and coroutines": ("loop", "loop_engine", "task", "task_group", "when_any", "awaitable", "duration"),
    "Errors": ("error", "crash"),
    "Stats and logs": ("stats", "histogram", "log", "spdlog"),
    "Memory and descriptors": ("shared_buffer", "fd"),
    "Sandbox": ("sandbox",),
    "I/O": ("io", "stream", "listener", "endpoint", "file", "signal_set", "resolve"),
    "Nodes": ("node", "remote_options", "node_info", "node_stats"),
    "asio": ("asio",),
    "Testing": ("testing",),
}
REST = "More headers"
INHERITED = {"ItemVerbs", "Listener"}  # of namespace detail
SPELLED_OUT = {
    r"(?:detail::)?DoneCallback\b": "std::move_only_function<void(Result<void>)>",
    r"(?:detail::)?AcquireCallback\b": "std::move_only_function<void(Result<ExecutorLease>)>",
    r"(?:detail::)?NodesCallback\b": "std::move_only_function<void(Result<std::vector<NodeInfo>>)>",
    r"(?:detail::)?IoCallback<([\w:]+)>": r"std::move_only_function<void(Result<\1>)>",
}
# What every class has, and what only the library calls.
NOT_SHOWN = re.compile(
    r"= delete;|= default;$|^~|^friend |operator=\(|^\w+\(\w+&& other\)|^using promise_type|await_(ready|suspend|resume)\("
)

# What is code in a comment, beside what stands between backticks.
NAME = re.compile(r"""`[^`]*`
    | docs/(?P<page>[\w-]+)\.md
    | (?P<address>https?://[^\s()]+)
    | (?<![\w/.]) (?!io_uring\b)
      (?: \w+(?:::\w+)*<[\w:*&,\ ]+>        # std::vector<R>
        | (?:\w+::)+~?\w+(?:\(\))?           # Errc::timed_out
        | \w+\.\w+\(\)                       # lease.run()
        | \w+_\w+(?:\(\))? | \w+\(\)         # max_wait, submit()
        | SIG[A-Z]+ ) (?![\w/])""", re.VERBOSE)


@dataclasses.dataclass
class Entry:
    """Declarations that stand together, below one comment."""

    comment: list[str]
    code: list[str]
    name: str = ""  # of a class, a struct or an enum: it gets a heading
    members: list["Entry"] = dataclasses.field(default_factory=list)


def net_depth(line: str) -> int:
    plain = re.sub(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)\'|//.*', "", line)
    return sum(plain.count(c) for c in "({[") - sum(plain.count(c) for c in ")}]")


def without_body(text: str) -> str:
    """A function's declaration without what it does."""
    depth = 0
    after_parameters = False
    for at, char in enumerate(text):
        ends = char == "{" or text.startswith((" : ", "\n    : "), at)
        if depth == 0 and after_parameters and ends:
            return text[:at].rstrip() + ";"
        if char in "({[":
            depth += 1
        elif char in ")}]":
            depth -= 1
            of_requires = "requires" in text[:at].rsplit("\n", 1)[-1]
            after_parameters = after_parameters or (char == ")" and depth == 0 and not of_requires)
    return text


class Header:
    """The entries of one header."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.at = 0
        self.comment: list[str] = []
        about = []
        while self.lines[self.at].startswith("//"):
            about.append(self.lines[self.at].removeprefix("//").strip())
            self.at += 1
        self.about = " ".join(about)
        self.entries = self.scope(is_class=False, shown=True)

    def declaration(self) -> str:
        """From this line to where the declaration ends."""
        begin = self.at
        depth = 0
        while True:
            line = self.lines[self.at]
            depth += net_depth(line)
            self.at += 1
            code = re.sub(r"\s*//.*", "", line).rstrip()
            if depth <= 0 and (code.endswith((";", "}")) or self.at == len(self.lines)):
                lines = [each for each in self.lines[begin : self.at] if "NOLINT" not in each or each.split("//")[0].strip()]
                return "\n".join(re.sub(r"\s*// ?NOLINT.*", "", each) for each in lines)

    def scope(self, *, is_class: bool, shown: bool) -> list[Entry]:
        """What stands in a namespace or in a class, to its closing brace."""
        entries: list[Entry] = []
        public = not is_class
        joined = False  # what follows without a comment belongs to what is before it
        while self.at < len(self.lines):
            line = self.lines[self.at]
            stripped = line.strip()
            if re.match(r"}", stripped):
                self.at += 1
                return entries
            if not stripped or stripped.startswith(("#include", "#pragma", "#if", "#el", "#endif", "#undef")):
                joined = joined and bool(stripped)
                self.comment = []
                self.at += 1
            elif stripped.startswith("///"):
                self.comment.append(stripped[3:].strip())
                self.at += 1
            elif stripped.startswith("//"):
                self.at += 1
            elif access := re.fullmatch(r"(public|protected|private):", stripped):
                public = access[1] == "public"
                self.at += 1
            elif namespace := re.match(r"(?:inline )?namespace ([\w:]*)", stripped):
                inner = "detail" in namespace[1].split("::")
                self.at += 1
                if not stripped.endswith("}"):
                    entries += self.scope(is_class=False, shown=shown and not inner)
                self.comment = []
            elif stripped.startswith("#define"):
                joined = self.macro(entries)
            else:
                joined = self.declared(entries, is_class=is_class, shown=shown and public, joined=joined)
        return entries

    def macro(self, entries: list[Entry]) -> bool:
        name = self.lines[self.at].split()[1].split("(")[0]
        while self.lines[self.at].endswith("\\"):
            self.at += 1
        self.at += 1
        comment, self.comment = self.comment, []
        if comment:
            entries.append(Entry(comment, [f"{name}(function)"], name))
        return False

    def declared(self, entries: list[Entry], *, is_class: bool, shown: bool, joined: bool) -> bool:
        comment, self.comment = self.comment, []
        opening = self.at
        while self.lines[opening].strip().startswith(("template", "requires")):
            opening += 1
        head = self.lines[opening].strip()
        of_class = re.match(r"class (?:\[\[.*?\]\] )?(?:LEASEPOOL_EXPORT )?(\w+)[^;]*{", re.sub(r"\s*//.*", "", head))
        if of_class and not head.rstrip().endswith("};"):
            code = self.lines[self.at : opening + 1]
            self.at = opening + 1
            members = self.scope(is_class=True, shown=shown or of_class[1] in INHERITED)
            if (shown or of_class[1] in INHERITED) and (comment or members):
                named = re.sub(r"\s*(//.*)?$", "", "\n".join(code)).removesuffix("{").rstrip()
                named = re.sub(r" : public [\w:]*detail::.*", "", named)
                entries.append(Entry(comment, [tidy(named) + ";"], of_class[1], members))
            return False
        text = self.declaration()
        if not shown:
            return False
        if re.match(r"template <>", text.strip()):
            return joined
        kind = re.match(r"(?:struct|enum class|enum) (?:LEASEPOOL_EXPORT )?(\w+)[^;]*{", head)
        if kind:
            entries.append(Entry(comment, [tidy(text)], "" if is_class else kind[1]))
            return False
        code = tidy(without_body(text))
        if re.match(r"(class|struct) \w+;", head) or (not comment and NOT_SHOWN.search(code)):
            return joined
        if NOT_SHOWN.search(code) and "await_" in code:
            return joined
        if joined and not comment and entries and (
            verb_of(code) == verb_of(entries[-1].code[0]) or not entries[-1].comment):
            entries[-1].code.append(code)
        elif comment or is_class:
            entries.append(Entry(comment, [code]))
        return True


def verb_of(code: str) -> str:
    """What a declaration and its twins have in common: start() and start_async(), with() and with()."""
    name = re.search(r"(\w+)\(", re.sub(r"^(template|  requires).*$", "", code, flags=re.MULTILINE))
    return name[1].removesuffix("_async") if name else ""


def tidy(code: str) -> str:
    """As a reader needs it: without marks for the linker and indentation."""
    lines = code.split("\n")
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    text = "\n".join(line[indent:] for line in lines)
    text = re.sub(r"LEASEPOOL_EXPORT |^inline |\[\[nodiscard(\(\".*?\"\))?\]\]\s+", "", text, flags=re.MULTILINE)
    text = re.sub(r"\n {6,}(?=\S)", "\n    ", text)
    text = re.sub(r"///<? ", "// ", text)
    for pattern, spelled in SPELLED_OUT.items():
        text = re.sub(pattern, spelled, text)
    return text


def prose(comment: list[str]) -> str:
    """A comment as Markdown, with the names in it as code, and links to pages and addresses."""

    def marked(found: re.Match[str]) -> str:
        text = found[0]
        if text.startswith("`"):
            return text
        if found["page"]:
            return f"[docs/{found['page']}.md](../{found['page']}.md)"
        return f"<{text}>" if found["address"] else f"`{text}`"

    text = "\n".join(comment).strip()
    parts = []
    at = 0
    for found in NAME.finditer(text):
        parts += [re.sub(r"([<>*\[\]])", r"\\\1", text[at : found.start()]), marked(found)]
        at = found.end()
    return "".join([*parts, re.sub(r"([<>*\[\]])", r"\\\1", text[at:])])


def entry_text(entry: Entry, level: int) -> str:
    text = ""
    if entry.name:
        text += f"\n{'#' * level} {entry.name}\n"
    text += "\n```cpp\n" + "\n".join(entry.code) + "\n```\n"
    if entry.comment:
        text += "\n" + prose(entry.comment) + "\n"
    for member in entry.members:
        text += entry_text(dataclasses.replace(member, name=""), level + 1)
    return text


def header_text(root: pathlib.Path, name: str) -> str:
    header = Header((root / f"include/leasepool/{name}.hpp").read_text(encoding="utf-8"))
    if name.startswith("detail/"):
        return "".join(entry_text(entry, 3) for entry in header.entries)
    text = f"\n## {name}.hpp\n\n{prose([header.about])}\n"
    return text + "".join(entry_text(entry, 3) for entry in header.entries)


def topics_of(root: pathlib.Path) -> dict[str, list[str]]:
    """The headers that there are, by topic."""
    public = {file.stem for file in (root / "include/leasepool").glob("*.hpp")}
    rest = sorted(public - {name for names in TOPICS.values() for name in names})
    topics = {title: [n for n in names if n in public or "/" in n] for title, names in [*TOPICS.items(), (REST, rest)]}
    return {title: names for title, names in topics.items() if names}


def place_of(title: str) -> str:
    return "api/" + re.sub(r"[^a-z]+", "-", title.lower()).strip("-") + ".md"


def anchors_of_headers(root: pathlib.Path) -> dict[str, str]:
    """Where the reference has each header."""
    return {
        f"include/leasepool/{name}.hpp": f"{place_of(title)}#{name}hpp"
        for title, names in topics_of(root).items()
        for name in names
    }


def write_reference(root: pathlib.Path, pages) -> str:
    """Writes the pages; returns their lines of the navigation."""
    lines = ["      - Interface:\n"]
    for title, names in topics_of(root).items():
        pages.write(place_of(title), f"# {title}\n" + "".join(header_text(root, name) for name in names))
        lines.append(f"          - {title}: {place_of(title)}\n")
    return "".join(lines)
