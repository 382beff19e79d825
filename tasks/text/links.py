"""Links and @names in running text: to a reader of words each is one word, and none of them tells the language."""

from __future__ import annotations

import re
from collections.abc import Iterator

ZONES = (
    "ru|рф|su|com|org|net|info|biz|io|me|edu|gov|by|kz|ua|uz|kg|am|ge|az|lv|lt|ee|pl|de|uk|us|eu|tv|cc|ly|gl|gd|be|co"
    "|ai|app|dev|pro|online|site|school|academy|club|store|shop|space|tech|page|link|world|life|moscow|tatar|москва"
)
"""Ends of a host's name that make ``host/path`` a link without https:// before it."""

LINK = re.compile(
    r"(?:(?:https?|ftp)://(?=[^\s/.])|(?<![\w@.])www\.(?=\w)"
    rf"|(?<![\w@./:-])(?:[\w-]{{1,63}}\.){{1,5}}(?:{ZONES})(?::\d{{1,5}})?/)"
    r"[^\s<>\"'«»„“”\[\]{}|\\^`]*",
    re.IGNORECASE,
)
_TAIL = ".,!?;:…)*"
"""What a sentence may have behind a link."""

_HANDLE = re.compile(r"(?<![\w@.+/\\&#%=-])@(?P<name>[^\W\d_][\w.]{1,40}\w|_\w{2,40})(?P<after>[(/@]|\.\w)?")
_CODE = frozenset({
    "abstractmethod", "after", "aftereach", "all", "annotation", "api", "app", "apply", "async", "author", "autowired",
    "available", "babel", "bean", "before", "beforeeach", "binding", "blueprint", "bot", "botfather", "bp", "builder",
    "cache", "cached_property", "charset", "classmethod", "click", "column", "component", "configuration",
    "contextmanager", "controller", "cuda", "data", "dataclass", "dataclasses", "decorator", "decorators", "default",
    "deprecated", "directive", "each", "else", "embeddable", "entity", "enum", "environment", "environmentobject",
    "escaping", "example", "exception", "extend", "final", "fixture", "flow", "font", "for", "functionalinterface",
    "functools", "generated", "generatedvalue", "get", "getmapping", "getter", "given", "hook", "ibaction", "iboutlet",
    "id", "if", "import", "include", "inject", "injectable", "input", "interface", "jit", "joincolumn", "js",
    "keyframes", "latest", "layer", "link", "listener", "login_required", "lombok", "lru_cache", "main", "manytomany",
    "manytoone", "mark", "media", "mixin", "mock", "namespace", "nestjs", "next", "ngmodule", "njit", "notnull",
    "nullable", "numba", "objc", "observable", "observedobject", "onetomany", "onetoone", "output", "overload",
    "override", "page", "param", "parameterizedtest", "parametrize", "params", "patch", "pathvariable",
    "permission_required", "pipe", "post", "postmapping", "property", "propertywrapper", "published", "put", "pytest",
    "qualifier", "query", "receiver", "register", "repository", "request", "requestbody", "requestmapping",
    "requestparam", "requires", "rest", "restcontroller", "retry", "return", "returns", "route", "router", "see",
    "service", "setter", "shared_task", "signal", "since", "slf4j", "springbootapplication", "state", "stateobject",
    "staticmethod", "step", "supports", "suppresswarnings", "table", "tailwind", "task", "test", "tf", "then",
    "throws", "timer", "todo", "tool", "torch", "total_ordering", "transactional", "type", "typedef", "types",
    "typing", "use", "uses", "validator", "value", "vectorize", "version", "viewbuilder", "viewchild", "vue", "when",
    "wraps",
})  # fmt: skip
"""What stands behind an @ in programs: decorators of Python, annotations of Java, rules of CSS, scopes of npm."""
_SPOKEN_OF = re.compile(
    r"(?:декоратор|аннотаци|директив|decorator|annotation|матриц|пакет|npm |pip )[^.!?;\n@]{0,30}\Z", re.I
)
_NEAR = 45


def link_spans(text: str) -> Iterator[tuple[int, int]]:
    """Where links stand, without the sentence's signs behind them."""
    for match in LINK.finditer(text):
        yield match.start(), match.start() + len(match[0].rstrip(_TAIL))


def handle_spans(text: str) -> Iterator[tuple[int, int]]:
    """Where @names stand; @property, @app.route(…) and @angular/core are code."""
    if "@" not in text:
        return
    for match in _HANDLE.finditer(text):
        first = match["name"].partition(".")[0].lower()
        if first in _CODE or match["after"] or _SPOKEN_OF.search(text[max(0, match.start() - _NEAR) : match.start()]):
            continue
        yield match.start(), match.end("name")


def links(text: str) -> str:
    """A link is the word «ссылка»."""
    return _replaced(text, link_spans(text), " ссылка ") if "/" in text or "www." in text.lower() else text


def handles(text: str) -> str:
    """An @name is the word «имя»."""
    return _replaced(text, handle_spans(text), " имя ")


_MARK = re.compile(r"\[[а-яё]+\]")


def without_names(text: str) -> str:
    """The text without links, @names and the marks of what was redacted."""
    return _MARK.sub(" ", _replaced(_replaced(text, link_spans(text), " "), handle_spans(text), " "))


def _replaced(text: str, spans: Iterator[tuple[int, int]], word: str) -> str:
    pieces, place = [], 0
    for start, end in spans:
        pieces += [text[place:start], word]
        place = end
    return "".join([*pieces, text[place:]]) if place else text
