"""Slot names and pools -> every sentence template, each with its number of sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from dataservice.demo.grammar import Lexeme, render_en, render_ru
from dataservice.demo.lexicon import pools


@dataclass(frozen=True, slots=True)
class Slot:
    """One choice in a template: a pool, and the slot whose choice must not come up again."""

    name: str
    pool: tuple[Lexeme, ...]
    other_than: str | None

    @property
    def size(self) -> int:
        """How many lexemes the slot can hold."""
        return len(self.pool) - (self.other_than is not None)


@dataclass(frozen=True, slots=True)
class Template:
    """A Russian and an English pattern over the same slots (syntax in grammar.py)."""

    slots: tuple[Slot, ...]
    ru: str
    en: str

    @property
    def capacity(self) -> int:
        """How many different choices of lexemes there are."""
        return math.prod(slot.size for slot in self.slots)

    def render(self, index: int) -> tuple[str, str]:
        """The Russian and English sentence with this number, 0 <= index < capacity."""
        chosen = self._chosen(index)
        return render_ru(self.ru, chosen), render_en(self.en, chosen)

    def _chosen(self, index: int) -> Mapping[str, Lexeme]:
        positions: dict[str, int] = {}
        for slot in self.slots:
            index, position = divmod(index, slot.size)
            if slot.other_than is not None:
                position = (positions[slot.other_than] + 1 + position) % len(slot.pool)
            positions[slot.name] = position
        return {slot.name: slot.pool[positions[slot.name]] for slot in self.slots}


# Three lines a template: slots as name=pool (with "!x" for "other than in x"), Russian, English.
_TEMPLATES: Final = """
when=past_when who=people v=verb.code adj=adj.code what=code
{when} {who:nom} {v:past@who} {adj:acc@what} {what:acc}.
{when} {who:the} {v:past} the {adj} {what}.

when=past_when who=people v=verb.ops adj=adj.ops what=ops
{who:nom} {v:past@who} {adj:acc@what} {what:acc} {when}.
{who:the} {v:past} the {adj} {what} {when}.

when=future_when who=people v=verb.code adj=adj.code what=code if=future_if
{when} {who:nom} {v:fut.sg} {adj:acc@what} {what:acc}, {if}.
{when} {who:the} will {v:base} the {adj} {what} {if}.

who=people v=verb.code adj=adj.code what=code reason=reason
{who:nom} не {v:past@who} {adj:acc@what} {what:acc}, потому что {reason}.
{who:the} did not {v:base} the {adj} {what} because {reason}.

when=past_when v=verb.code adj=adj.code what=code
Кто {when} {v:past} {adj:acc@what} {what:acc}?
Who {v:past} the {adj} {what} {when}?

who=people v=verb.ops adj=adj.ops what=ops deadline=deadline
Попросите {who:acc} {v:inf} {adj:acc@what} {what:acc} {deadline}.
Ask {who:the} to {v:base} the {adj} {what} {deadline}.

who=people v=verb.code adj=adj.code what=code deadline=deadline
{who:dat} нужно {v:inf} {adj:acc@what} {what:acc} {deadline}.
{who:the} needs to {v:base} the {adj} {what} {deadline}.

who=people n=num.few unit=span v=verb.lasting adj=adj.code what=code
{who:nom} уже {n} {unit:acc#n} {v:pres.sg} {adj:acc@what} {what:acc}.
{who:the} has been {v:ing} the {adj} {what} for {n} {unit#n}.

a=name_m b=name_f when=past_when v=verb.code what=code
{a:nom} и {b:nom} {when} {v:past.pl} {what:acc}.
{a} and {b} {v:past} the {what} {when}.

v=verb.code adj=adj.code what=code before=before
{v:imp} {adj:acc@what} {what:acc} {before}.
{v:base} the {adj} {what} {before}.

v=verb.risky adj=adj.ops what=ops need=need
Не {v:ipf_imp} {adj:acc@what} {what:acc} без {need}.
Do not {v:base} the {adj} {what} without {need}.

v=verb.code adj=adj.code what=code advice=advice
Прежде чем {v:inf} {adj:acc@what} {what:acc}, {advice}.
Before you {v:base} the {adj} {what}, {advice}.

v=verb.data adj=adj.data what=data closing=closing
Пожалуйста, {v:imp} {adj:acc.pl@what} {what:acc.pl} и {closing}.
Please {v:base} the {adj} {what:pl} and {closing}.

agent=agent v=verb.data adj=adj.data what=data how=how
{agent:nom} {v:pres.sg} {adj:acc.pl@what} {what:acc.pl} {how}.
The {agent} {v:3sg} {adj} {what:pl} {how}.

agent=agent v=verb.data adj=adj.data what=data
Как {agent:nom} {v:pres.sg} {adj:acc.pl@what} {what:acc.pl}?
How does the {agent} {v:base} {adj} {what:pl}?

adj=adj.code agent=agent v=verb.data what=data
Почему {adj:nom@agent} {agent:nom} не {v:pres.sg} {what:acc.pl}?
Why doesn't the {adj} {agent} {v:base} the {what:pl}?

agent=agent v=verb.data n=num.any what=data m=num.clock unit=tick
{agent:nom} {v:past@agent} {n} {what:acc#n} за {m} {unit:acc#m}.
The {agent} {v:past} {n} {what#n} in {m} {unit#m}.

agent=agent v=verb.data adj=adj.data what=data look=look_at
Если {agent:nom} не {v:pres.sg} {adj:acc.pl@what} {what:acc.pl}, проверьте {look}.
If the {agent} does not {v:base} {adj} {what:pl}, check {look}.

agent=agent v=verb.data adj=adj.data what=data tool=tool
Чтобы быстрее {v:ipf_inf} {adj:acc.pl@what} {what:acc.pl}, {agent:nom} использует {tool:acc}.
To {v:base} {adj} {what:pl} faster, the {agent} uses a~ {tool}.

adj=adj.kept what=data place=place
{adj:nom.pl@what} {what:nom.pl} хранятся {place}.
{adj} {what:pl} are stored {place}.

who=people adj=adj.code what=code n=num.bugs problem=problem
{who:nom} {who?обнаружил|обнаружила} в {adj:prep@what} {what:prep} {n} {problem:acc#n}.
{who:the} discovered {n} {problem#n} in the {adj} {what}.

goal=goal_event n=num.term unit=term adj=adj.code what=code
До {goal} {unit?остался|осталась|осталось#n} {n} {unit:nom#n}, а {adj:nom@what} {what:nom} \
ещё не {what?готов|готова|готово}.
There {n?is|are} {n} {unit#n} left before {goal}, and the {adj} {what} is not ready yet.

adj=adj.trainable model=model n=num.clock unit=pause
Обучение {adj:gen@model} {model:gen} заняло {n} {unit:acc#n}.
Training the {adj} {model} took {n} {unit#n}.

adj=adj.trainable model=model n=num.devices device=device corpus=corpus
Мы обучаем {adj:acc@model} {model:acc} на {n} {device:prep#n}, а проверяем на {corpus}.
We train the {adj} {model} on {n} {device#n} and test it on {corpus}.

n=num.epochs epoch=epoch metric=quality move=event.shift p=num.percent
После {n} {epoch:gen#n} {metric:nom} {move:past@metric} на {p} %.
After {n} {epoch#n} {metric} {move} by {p}%.

who=people grow=grow effect=effect
{who:nom} {who?увеличил|увеличила} {grow}, и {effect}.
{who:the} increased {grow}, and {effect}.

who=people n=num.few unit=span task=task
{who:nom} {who?потратил|потратила} {n} {unit:acc#n} на {task}.
{who:the} spent {n} {unit#n} {task}.

adj=adj.model model=solver skill=recognize than=than
{adj:nom@model} {model:nom} лучше {skill}, {than}.
The {adj} {model} {skill} better {than}.

when=past_when adj=adj.trainable model=model corpus=corpus
{when} мы обучили {adj:acc@model} {model:acc} на {corpus}.
{when} we trained the {adj} {model} on {corpus}.

change=change metric=quality degree=degree move=event.move
Когда мы {change}, {metric:nom} {degree} {move:past@metric}.
When we {change}, {metric} {move} {degree}.

metric=metric trend=trend situation=situation
Почему {metric:nom} {trend} {situation}?
Why does {metric} {trend} {situation}?

problem=problem often=often where=where
{problem:nom} {often} возникает там, где {where}.
a~ {problem} {often} appears where {where}.

who=people problem=problem adj=adj.code what=code
{who:nom} {who?нашёл|нашла} {problem:acc} в {adj:prep@what} {what:prep}.
{who:the} found a~ {problem} in the {adj} {what}.

problem=problem adj=adj.code what=code when=past_when
{problem:nom} в {adj:prep@what} {what:prep} \
{problem?был устранён|была устранена|было устранено} {when}.
The {problem} in the {adj} {what} was fixed {when}.

problem=problem adj=adj.ops what=ops event=event.crash when=past_when
Из-за {problem:gen} {adj:nom@what} {what:nom} {event:past@what} {when}.
Because of a~ {problem}, the {adj} {what} {event} {when}.

find=find problem=problem adj=adj.code what=code
Как {find} {problem:acc} в {adj:prep@what} {what:prep}?
How do you {find} a~ {problem} in the {adj} {what}?

condition=condition a=adj.contrast b=adj.contrast!a what=ops cmp=comparative
{condition} {a:nom@what} {what:nom} работает {cmp}, чем {b:nom@what}.
{condition}, the {a} {what} works {cmp} than the {b} one.

adj=adj.code what=code language=language feature=feature
{adj:nom@what} {what:nom} {what?написан|написана|написано} на {language} и {feature}.
The {adj} {what} is written in {language} and {feature}.

adj=adj.kind agent=agent v=verb.data what=data how=how
Это {adj:nom@agent} {agent:nom}, {agent?который|которая|которое} \
{v:pres.sg} {what:acc.pl} {how}.
This is a~ {adj} {agent} that {v:3sg} {what:pl} {how}.

what=code choose=choose tool=tool merit=merit
Для {what:gen} мы {choose} {tool:acc}, потому что {tool?он|она|оно} {merit}.
For the {what} we {choose} a~ {tool} because it {merit}.

adj=adj.code what=whole n=num.tally part=part
{adj:nom@what} {what:nom} состоит из {n} {part:gen#n}.
The {adj} {what} consists of {n} {part#n}.

adj=adj.code what=whole n=num.tally a=part m=num.tally b=part!a
В {adj:prep@what} {what:prep} {n} {a:nom#n} и {m} {b:nom#m}.
The {adj} {what} has {n} {a#n} and {m} {b#m}.

explain=explain a=structure b=structure!a
{explain}, чем {a:nom} отличается от {b:gen}.
{explain} how a~ {a} differs from a~ {b}.

adj=adj.kept what=data a=place b=place!a
Где лучше хранить {adj:acc.pl@what} {what:acc.pl}: {a} или {b}?
Where is it better to store {adj} {what:pl}: {a} or {b}?

what=data adj=adj.code agent=agent v=verb.data unit=per
Сколько {what:gen.pl} {adj:nom@agent} {agent:nom} {v:pres.sg} за {unit:acc}?
How many {what:pl} does the {adj} {agent} {v:base} per {unit}?

v=verb.ops adj=adj.ops what=ops without=without
Можно ли {v:inf} {adj:acc@what} {what:acc} без {without}?
Is it possible to {v:base} the {adj} {what} without {without}?

v=verb.code adj=adj.code what=code doubt=doubt
Стоит ли {v:ipf_inf} {adj:acc@what} {what:acc}, {doubt}?
Is it worth {v:ing} the {adj} {what} {doubt}?

who=people s=event.speech v=verb.code adj=adj.code what=code
«Я уже {v:past@who} {adj:acc@what} {what:acc}», — {s:past@who} {who:nom}.
"I have already {v:pp} the {adj} {what}," {who:the} {s}.

who=people opinion=opinion adj=adj.code what=product trait=trait
{who:nom} {opinion}, что {adj:nom@what} {what:nom} {trait}.
{who:the} {opinion} that the {adj} {what} {trait}.

adj=adj.ops what=ops trouble=trouble v=verb.cure closing=closing
Если {adj:nom@what} {what:nom} {trouble}, {v:imp} {what?его|её|его} и {closing}.
If the {adj} {what} {trouble}, {v:base} it and {closing}.

version=version adj=adj.code what=product support=support
В версии {version} {adj:nom@what} {what:nom} {what?получил|получила|получило} \
поддержку {support}.
In version {version}, the {adj} {what} gained support for {support}.

branch=branch v=verb.code adj=adj.code what=code
Создайте ветку «{branch}» и {v:imp} в ней {adj:acc@what} {what:acc}.
Create a branch called "{branch}" and {v:base} the {adj} {what} in it.

version=version adj=adj.ops what=ops event=event.crash
После обновления до версии {version} {adj:nom@what} {what:nom} {event:past@what}.
After the update to version {version}, the {adj} {what} {event}.

adj=adj.ops what=ops event=event.crash n=num.clock unit=pause trigger=trigger
{adj:nom@what} {what:nom} {event:past@what} через {n} {unit:acc#n} после {trigger}.
The {adj} {what} {event} {n} {unit#n} after {trigger}.

n=num.every unit=tick agent=agent v=verb.data adj=adj.data what=data
Каждые {n} {unit:acc#n} {agent:nom} {v:pres.sg} {adj:acc.pl@what} {what:acc.pl}.
Every {n} {unit#n} the {agent} {v:3sg} {adj} {what:pl}.

v=verb.ops adj=adj.ops what=ops after=after
Не забудьте {v:inf} {adj:acc@what} {what:acc} {after}.
Do not forget to {v:base} the {adj} {what} {after}.

adj=adj.code what=code n=num.failed m=num.total
После изменений в {adj:prep@what} {what:prep} не прошли {n} из {m} тестов.
After the changes in the {adj} {what}, {n} of {m} tests failed.

who=people teach=event.teach v=verb.code adj=adj.kind what=code
{who:nom} {teach:past@who} о том, как {v:inf} {adj:acc@what} {what:acc}.
{who:the} {teach} about how to {v:base} a~ {adj} {what}.

year=year meeting=meeting town=town who=name topic=topic
В {year} году на {meeting} в {town:prep} {who:nom} {who?рассказал|рассказала} {topic}.
In {year}, at a~ {meeting} in {town}, {who} talked {topic}.

year=year group=group switch=switch
В {year} году {group:nom} {group?перешёл|перешла} {switch}.
In {year}, the {group} switched {switch}.

v=verb.touch adj=adj.data what=data need=permit
Нельзя {v:ipf_inf} {adj:acc.pl@what} {what:acc.pl} без {need}.
You must not {v:base} {adj} {what:pl} without {need}.

v=verb.code adj=adj.code what=code later=later
Лучше {v:inf} {adj:acc@what} {what:acc} сейчас, чем {later}.
It is better to {v:base} the {adj} {what} now than {later}.

a=name b=role v=verb.ops adj=adj.ops what=ops
{a:nom} {a?показал|показала} {b:dat}, как {v:ipf_inf} {adj:acc@what} {what:acc}.
{a} showed {b:the} how to {v:base} the {adj} {what}.

a=role b=name adj=adj.code what=code
{a:nom} вместе с {b:ins} работает над {adj:ins@what} {what:ins}.
{a:the} is working with {b} on the {adj} {what}.

a=ops b=ops!a channel=channel
Данные между {a:ins} и {b:ins} передаются {channel}.
The data between the {a} and the {b} is transferred {channel}.

adj=adj.model model=model p=num.share what=text
{adj:nom@model} {model:nom} правильно классифицирует {p} % {what:gen.pl}.
The {adj} {model} correctly classifies {p}% of the {what:pl}.

adj=adj.model model=lingual n=num.vocab k=thousand
Словарь {adj:gen@model} {model:gen} содержит {n} {k:acc#n} токенов.
The vocabulary of the {adj} {model} contains {n} {k} tokens.

adj=adj.model tok=tokenizer word=word n=num.pieces token=token
{adj:nom@tok} {tok:nom} разбивает слово «{word}» на {n} {token:acc#n}.
The {adj} {tok} splits the word "{word}" into {n} {token#n}.

verdict=lr_verdict adj=adj.model model=model
Скорость обучения {verdict} для {adj:gen@model} {model:gen}.
A learning rate of {verdict} for the {adj} {model}.

adj=adj.model model=model n=num.gigabytes gb=gigabyte memory=memory
{adj:nom@model} {model:nom} требует {n} {gb:acc#n} {memory}.
The {adj} {model} requires {n} {gb#n} of {memory}.

routine=routine n=num.steps step=step purpose=purpose
Мы {routine} каждые {n} {step:acc#n}, {purpose}.
We {routine} every {n} {step#n} {purpose}.

adj=adj.data what=data v=verb.data when=past_when
{adj:nom.pl@what} {what:nom.pl} были {v:part.pl} {when}.
The {adj} {what:pl} were {v:pp} {when}.

when=past_when who=people v=verb.data n=num.any adj=adj.data what=data
{when} {who:nom} {v:past@who} {n} {adj:acc@what#n} {what:acc#n}.
{when} {who:the} {v:past} {n} {adj} {what#n}.

unit=span adj=adj.trainable model=model n=num.devices device=device
Сколько {unit:gen.pl} займёт обучение {adj:gen@model} {model:gen} на {n} {device:prep#n}?
How many {unit:pl} will it take to train the {adj} {model} on {n} {device#n}?

adj=adj.code what=product joy=event.joy
Наконец-то {adj:nom@what} {what:nom} {joy:past@what}!
At last the {adj} {what} {joy}!

v=verb.code adj=adj.code what=code
Вы уже {v:past.pl} {adj:acc@what} {what:acc}?
Have you already {v:pp} the {adj} {what}?

adj=adj.ops what=ops trouble=trouble
Я не понимаю, почему {adj:nom@what} {what:nom} {trouble}.
I do not understand why the {adj} {what} {trouble}.

who=people v=verb.code adj=adj.code what=code goal=goal
{who:nom} хочет {v:inf} {adj:acc@what} {what:acc}, {goal}.
{who:the} wants to {v:base} the {adj} {what} {goal}.

adj=adj.code what=code gap=docs_gap
Документация к {adj:dat@what} {what:dat} устарела: {gap}.
The documentation for the {adj} {what} is outdated: {gap}.

adj=adj.ops what=ops healthy=healthy then=then
Убедитесь, что {adj:nom@what} {what:nom} {healthy}, и только потом {then}.
Make sure that the {adj} {what} {healthy}, and only then {then}.

when=past_when who=people v=verb.model adj=adj.trainable model=model corpus=corpus
{when} {who:nom} {v:past@who} {adj:acc@model} {model:acc} на {corpus}.
{when} {who:the} {v:past} the {adj} {model} on {corpus}.
"""


@cache
def templates() -> tuple[Template, ...]:
    """Every template, in a fixed order."""
    blocks = (block.splitlines() for block in _TEMPLATES.strip().split("\n\n"))
    return tuple(Template(_slots(head), ru, en) for head, ru, en in blocks)


def _slots(head: str) -> tuple[Slot, ...]:
    found = []
    for part in head.split():
        name, _, rest = part.partition("=")
        pool, _, other = rest.partition("!")
        found.append(Slot(name, pools()[pool], other or None))
    return tuple(found)
