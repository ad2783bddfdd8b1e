"""What runs a build, and for how long an unfinished one is kept; none of it decides the version."""

from typing import Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator


class EngineSettings(BaseModel):
    """Where the units of a build run: in local processes, or as tasks of a Ray cluster."""

    engine: Literal["processes", "ray"] = Field(
        "processes", title="Engine", description="What runs the units of a build"
    )
    processes: int = Field(
        0,
        ge=0,
        title="Engine",
        description="Worker processes; 0 means one for each core; 1 works in the build's own",
    )
    ray_address: str = Field(
        "",
        title="Engine",
        description="HOST:PORT of the cluster's head node for the engine ray, or `auto`; "
        "empty starts one here",
    )
    max_memo_words: int = Field(
        500_000,
        ge=0,
        title="Engine",
        description="Words whose ids each process remembers, about 100 bytes each",
    )
    keep_text_bytes: int = Field(
        4 << 30,
        ge=0,
        title="Engine",
        description="Cleaned text that is kept on disk for the next reshard; 0: none",
    )
    keep_cache_bytes: int = Field(
        1 << 30,
        ge=0,
        title="Engine",
        description="Tokenizers and word memos that are kept on disk for the next builds; 0: none",
    )
    keep_unfinished_s: int = Field(
        7 * 86_400,
        ge=0,
        title="Engine",
        description="For so long the work of a build that was killed waits to be resumed, unless "
        "the disk is short",
    )

    @field_validator("ray_address")
    @classmethod
    def _no_client(cls, value: str) -> str:
        host, colon, port = value.rpartition(":")
        if value in ("", "auto") or (host and colon and port.isdigit() and "/" not in value):
            return value
        raise ValueError(
            "it is neither `auto` nor HOST:PORT of a head node; a build is no Ray client (ray://), "
            "run it on a machine of the cluster"
        )

    @model_validator(mode="after")
    def _used_address(self) -> Self:
        if self.ray_address and self.engine != "ray":
            raise ValueError(
                f"ray_address is {self.ray_address!r}, and engine {self.engine!r} reads none; set "
                "engine to ray, or the address to nothing"
            )
        return self
