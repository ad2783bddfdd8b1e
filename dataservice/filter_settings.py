"""What a pair must be like to be kept → the settings of every filter, and its way to be off."""

from typing import Literal

from pydantic import BaseModel, Field

_TITLE = "Filters"


class FilterSettings(BaseModel):
    """The settings of filters, masking and near-duplicates; a build's settings have them all."""

    min_chars: int = Field(1, ge=1, title=_TITLE, description="Shortest side, in characters")
    max_chars: int = Field(
        4000, ge=1, le=250_000, title=_TITLE, description="Longest side, in characters"
    )
    min_words: int = Field(
        0, ge=0, title=_TITLE, description="Fewest words of a side, where spaces divide them"
    )
    max_words: int = Field(0, ge=0, title=_TITLE, description="Most words of a side; 0: any number")
    max_word_chars: int = Field(
        200, ge=0, title=_TITLE, description="Longest word, in characters; 0: any length"
    )
    max_length_ratio: float = Field(
        3.0, ge=1, title=_TITLE, description="Longer side over shorter, in characters"
    )
    ratio_slack_chars: int = Field(
        12, ge=0, title=_TITLE, description="Added to both sides before their ratio is taken"
    )
    drop_identical: bool = Field(True, title=_TITLE, description="Drop pairs of equal sides")
    min_letters: int = Field(1, ge=0, title=_TITLE, description="Fewest letters of a side; 0: none")
    min_script_share: float = Field(
        0.3,
        ge=0,
        le=1,
        title=_TITLE,
        description="Share of letters in the scripts of a side's language, where they are known; "
        "0: any script",
    )
    max_copied_share: float = Field(
        0.8,
        ge=0,
        le=1,
        title=_TITLE,
        description="Share of a side's words that the other side may have as well; 1: all",
    )
    drop_doubled: bool = Field(
        True, title=_TITLE, description="Drop pairs of which one side says the same twice"
    )
    max_char_run: int = Field(
        20, ge=0, title=_TITLE, description="Most times one character may follow itself; 0: any"
    )
    max_repeated_share: float = Field(
        0.8,
        ge=0,
        le=1,
        title=_TITLE,
        description="Share of a side's word triples that may recur in it; 1: all",
    )
    max_digit_share: float = Field(
        0.8, ge=0, le=1, title=_TITLE, description="Share of digits in a side; 1: all"
    )
    max_symbol_share: float = Field(
        0.8, ge=0, le=1, title=_TITLE, description="Share of signs in a side; 1: all"
    )
    max_markup_share: float = Field(
        0.8, ge=0, le=1, title=_TITLE, description="Share of tags left in a side; 1: all"
    )
    max_url_share: float = Field(
        0.8, ge=0, le=1, title=_TITLE, description="Share of addresses in a side; 1: all"
    )
    max_lost_placeholders: int = Field(
        0,
        ge=-1,
        title=_TITLE,
        description="Placeholders (%s, {0}, $NAME) that one side may lack; -1: any number",
    )
    max_lost_number_share: float = Field(
        0.5,
        ge=0,
        le=1,
        title=_TITLE,
        description="Share of each side's numbers that the other may lack; 1: all",
    )
    match_ends: str = Field(
        "",
        pattern="^[?!…:.]*$",
        title=_TITLE,
        description="Marks in which both sides must end, or neither, of ? ! … : .",
        examples=["?!", "?!…:."],
    )
    identify_language: bool = Field(
        False,
        title=_TITLE,
        description="Drop what is in another language of the same script; needs the extra `langid`",
    )
    min_language_chars: int = Field(
        40, ge=1, title=_TITLE, description="Shorter texts are not identified"
    )
    min_language_confidence: float = Field(
        0.8, ge=0, le=1, title=_TITLE, description="How sure of another language it must be"
    )
    max_tokens: int = Field(
        512, ge=8, le=60_000, title=_TITLE, description="Longest side, in tokens without tags"
    )
    max_token_ratio: float = Field(
        0, ge=0, title=_TITLE, description="Longer side over shorter, in tokens; 0: any"
    )
    ratio_slack_tokens: int = Field(
        6, ge=0, title=_TITLE, description="Added to both sides before that ratio is taken"
    )
    mask_personal: bool = Field(
        False, title=_TITLE, description="Put placeholders for e-mail addresses and phone numbers"
    )
    near_duplicates: Literal["off", "normalized", "minhash"] = Field(
        "normalized",
        title=_TITLE,
        description="Of pairs that are nearly the same the first is kept; minhash needs the extra "
        "`minhash`",
    )
    minhash_min_words: int = Field(
        20, ge=1, title=_TITLE, description="Shorter texts are not compared by MinHash"
    )
    minhash_bands: int = Field(
        8, ge=1, le=64, title=_TITLE, description="Bands, of which near-duplicates share one"
    )
    minhash_rows: int = Field(
        8, ge=1, le=64, title=_TITLE, description="Hashes in a band; more: nearer duplicates only"
    )
