"""People's names and pages in social networks. A program's (``@course_bot``), a group's and a post's stay."""

from __future__ import annotations

import re
from collections.abc import Iterator

from otzyv.tasks.text.links import handle_spans

_PROGRAM = re.compile(r"bot\Z", re.IGNORECASE)
_NETWORK = (
    r"(?:тг|тгк|телег[аеиу]|телеграм\w{0,3}|telegram|tg|инстаграм\w{0,3}|instagram|insta|инст[аеу]|вк|vk|вконтакте|skype|скайп\w?"
    r"|discord|дискорд\w?|tiktok|тикток\w?|ник(?:нейм)?|nick(?:name)?)"
)
_NAMED = re.compile(
    rf"(?<!\w){_NETWORK}\s?(?:[:=–—-]|\s-)\s?(?P<name>(?=[\w.]*[_\d])[A-Za-z][\w.]{{2,31}}\w(?:#\d{{4}})?)(?![\w(/@])",
    re.IGNORECASE,
)
_TAIL = re.compile(r"#\d{4}(?!\d)")

_PAGE = re.compile(
    r"(?<![\w@./-])(?:https?://)?(?:www\.|m\.|mobile\.|web\.)?(?:"
    r"(?:t|telegram)\.me/(?!(?:share|proxy|socks|addstickers|addemoji|addlist|addtheme|iv|setlanguage|bg)\b)"
    r"(?!\w{0,40}bot(?![\w/]))(?!s/\w{0,40}bot\b)"
    r"|(?:vk\.(?:com|ru|me)|vkontakte\.ru)/(?!(?:club|public|event|app)\d|(?:wall|photo|album|topic|video|doc|clip|market)-"
    r"|(?:feed|login|im|market|video|music|services|jobs|about|support|dev|blog|privacy|terms|apps|games|search|clips|away\.php"
    r"|share\.php|page-\w+|podcasts|press|legal|faq\w*)(?![\w.]))"
    r"|(?:instagram\.com|instagr\.am)/(?!(?:p|reels?|explore|tv|accounts|direct|about|developer|legal)(?!\w))"
    r"|(?:ok|odnoklassniki)\.ru/(?!(?:group|video|game|live|dk|market|help|about|music)(?![a-z]))"
    r"|(?:facebook|fb)\.com/(?!(?:groups|events|watch|sharer|share|hashtag|marketplace|policies|help|business|gaming)\b)"
    r"|(?:twitter|x)\.com/(?!(?:search|hashtag|home|i|intent|share|explore|settings|tos|privacy)\b)"
    r"|tiktok\.com/@|linkedin\.com/in/|wa\.me/|api\.whatsapp\.com/send|viber\.click/"
    r")(?=[\w@+?])[^\s<>\"'«»„“”\[\]{}()|\\^`]{1,200}",
    re.IGNORECASE,
)
_SIGNS = ".,!?;:…*"


def pages(seen: str) -> Iterator[tuple[int, int]]:
    """t.me/ivan, vk.com/id1, instagram.com/ivan, ok.ru/profile/1; not vk.com/club1, t.me/course_bot or a post."""
    for match in _PAGE.finditer(seen):
        yield match.start(), match.start() + len(match[0].rstrip(_SIGNS))


def names(seen: str) -> Iterator[tuple[int, int]]:
    """@ivan_petrov, «телеграм: ivan_petrov»; not @property, @course_bot, user@localhost or package@1.2.3."""
    found = [span for span in handle_spans(seen) if not _PROGRAM.search(seen[slice(*span)])]
    found += [match.span("name") for match in _NAMED.finditer(seen) if not _PROGRAM.search(match["name"])]
    place = 0
    for start, end in sorted(found):
        if start >= place:
            tail = _TAIL.match(seen, end)
            place = tail.end() if tail else end
            yield start, place
