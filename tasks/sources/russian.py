"""How much a text looks like Russian: what tells a right encoding from a wrong one."""

from __future__ import annotations

import re
from operator import add

_COMMONEST = """
шь то еш ты по не на ст ал ра ла но де ни ко пр ае ро го та ть ак ен ел ка от ов ер ся че ва же ил во ре ли да ос за
ом ри ет ол ат ем те ас иш ор ме ве ит ог од мо оч ма об он ль эт се ти ви чт ан ож ес до ам ег аз им ав ле ой ьс ед
ск сь хо ди ло ня уд ин тр зн вс му ку мн ду со сл бо ар бы вы ид ки ну ив чи ей ис пе лс ру аю ое ча тв сп ум ше бе
бу ок ад ик би ми лю ту жи гд па еб лу си ут ны ля оп са уж ие из аж пи ул ее ще ир их аб дн ус уч нн ьн дь ши оз ьк
св ез кр ач ыл бр га ев ай ек сн ои зд см нь аш зв ыв ят ич ую ош ещ жа ап рн сс юб гл тс иб еч ял ря пл ша еп нт уп
вл гр др лы ув бя уе рт тн вн бл чу тк ры пу уг ия ый жн чн ву ба иг уш це ах вр рь ыш ыт жд аг ха мы кт зо юс су сд
ке ех ая кл жу уб шк ур ги ьш еж ым дл йс ий ох гу зы ци ые ды иц ыс ых яд яе ук нд щи ии нк зу оя дв сч зи ию уз оо
йд ян йч юд ою ют чк нс вз шл ща мя вд ье сы шо йт ыб рв шу дс вт фо ью тя бщ лк
"""
_PAIRS = frozenset(_COMMONEST.split())
"""The 300 commonest pairs of letters: 96 % of all in 300,000 Russian sentences."""
_WORD = re.compile(r"[^\W\d_a-zA-Z]{2,}")
_ODD = re.compile(r"[^\x00-\x7fА-Яа-яЁё«»„“”‘’–—…№°₽•·×©™\xa0\xad\u200b-\u200d\ufe0f\U0001f000-\U0001ffff]")


def likeness(text: str) -> tuple[float, int]:
    """The share of common pairs among all neighbouring letters that are not Latin, and how many common ones there are.

    Signs that Russian texts do not have, and capitals within a word of small letters, count as uncommon pairs.
    Russian has 0.6 to 0.95, what a wrong encoding makes of it below 0.3.
    """
    common, every = 0, len(_ODD.findall(text))
    for word in _WORD.findall(text):
        if word.isupper() or word[1:].islower():
            word = word.lower()
        every += len(word) - 1
        common += sum(map(_PAIRS.__contains__, map(add, word, word[1:])))
    return common / max(every, 1), common
