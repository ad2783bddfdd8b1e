"""YAML, environment and options → what one training run does."""

from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trainer.stream.order import BatchBudget
from trainer.stream.selection import PairFilter, read_skip_ids

ENV_PREFIX: Final = "TRAINER_"


class TrainSettings(BaseModel):
    """Every setting of a training run."""

    model_config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False)

    data: str = Field(
        "http://localhost:8000/datasets/demo",
        title="Data",
        description="Data set or one version of it: http(s)://, s3://, gs://, az://, file:// or a "
        "folder ROOT/NAME; several with weights: '3*URL 1*URL'; mirrors of one: 'URL,URL'",
    )
    authors: list[str] = Field([], title="Data", description="Read these authors only")
    exclude_authors: list[str] = Field([], title="Data", description="Leave an author out")
    sources: list[str] = Field([], title="Data", description="Read these sources only")
    exclude_sources: list[str] = Field([], title="Data", description="Leave a source out")
    min_tokens: int = Field(
        0, ge=0, title="Data", description="Leave out pairs with a shorter text, tags not counted"
    )
    max_tokens: int = Field(
        0, ge=0, title="Data", description="Leave out pairs with a longer text; 0 means no limit"
    )
    skip_ids: Path | None = Field(
        None, title="Data", description="File of pair ids that are left out, one in a line"
    )
    direction: str = Field(
        "src-tgt",
        pattern=r"^(both|[A-Za-z0-9]+(-[A-Za-z0-9]+)+)$",
        title="Data",
        description="Which way to translate: src-tgt, tgt-src or both; or by languages, as ru-en",
        examples=["src-tgt", "both", "ru-en"],
    )
    batch_size: int = Field(
        64, ge=1, title="Data", description="Sequences in a global batch, all ranks together"
    )
    batch_tokens: int = Field(
        0, ge=0, title="Data", description="Cut batches by padded tokens instead; 0 means off"
    )
    window_samples: int = Field(
        1 << 17, ge=1, title="Data", description="About so many are shuffled together, in memory"
    )
    num_workers: int = Field(
        0, ge=0, title="Data", description="Loader processes; threads do the work with 0"
    )
    cache_dir: Path = Field(
        Path("~/.cache/prometheusgpt-mini"), title="Data", description="Keeps remote blobs"
    )
    cache_bytes: int = Field(
        20_000_000_000, ge=0, title="Data", description="Limit of the cache; 0 means no cache"
    )
    data_timeout_s: float = Field(
        600.0, gt=0, title="Data", description="Wait so long for data, then save the run and end"
    )
    d_model: int = Field(256, ge=8, title="Model", description="Width")
    num_heads: int = Field(4, ge=1, title="Model", description="Attention heads")
    encoder_layers: int = Field(4, ge=1, title="Model", description="Encoder layers")
    decoder_layers: int = Field(4, ge=1, title="Model", description="Decoder layers")
    d_ff: int = Field(1024, ge=8, title="Model", description="Width of the feed-forward layers")
    dropout: float = Field(0.1, ge=0, lt=1, title="Model", description="Dropout while training")
    max_steps: int = Field(2000, ge=1, title="Optimization", description="Optimizer steps")
    learning_rate: float = Field(
        1e-3, gt=0, title="Optimization", description="Peak, reached at the end of the warmup"
    )
    warmup_steps: int = Field(100, ge=0, title="Optimization", description="Linear warmup")
    decay_steps: int | None = Field(
        None, ge=1, title="Optimization", description="End of the cosine; max_steps if not given"
    )
    min_lr_ratio: float = Field(
        0.05, ge=0, le=1, title="Optimization", description="Final over peak learning rate"
    )
    weight_decay: float = Field(0.01, ge=0, title="Optimization", description="AdamW, on matrices")
    clip_norm: float = Field(1.0, gt=0, title="Optimization", description="Largest gradient norm")
    grad_accum: int = Field(
        1, ge=1, title="Optimization", description="Micro-steps that a global batch is split into"
    )
    label_smoothing: float = Field(0.1, ge=0, lt=1, title="Optimization", description="In training")
    amp: Literal["auto", "fp16", "bf16", "off"] = Field(
        "auto", title="Device", description="Mixed precision; auto: what the device is good at"
    )
    grad_checkpointing: Literal["auto", "on", "off"] = Field(
        "auto", title="Device", description="Recompute activations to save memory; auto: on CUDA"
    )
    device: str = Field("auto", title="Device", description="auto, cpu, cuda or cuda:N")
    cpu_threads: int = Field(0, ge=0, title="Device", description="0 leaves it to torch")
    seed: int = Field(
        0, ge=0, lt=2**63, title="Run", description="Of weights, dropout and the data order"
    )
    run_dir: Path = Field(
        Path("runs/default"), title="Run", description="Checkpoints, metrics and samples go here"
    )
    log_every: int = Field(10, ge=1, title="Run", description="Steps between two metric lines")
    eval_every: int = Field(200, ge=1, title="Run", description="Steps between two evaluations")
    eval_batches: int = Field(50, ge=0, title="Run", description="Batches of val; 0 means all")
    patience: int = Field(
        0, ge=0, title="Run", description="Stop after so many evaluations without a best; 0: never"
    )
    sample_every: int = Field(200, ge=1, title="Run", description="Steps between two text samples")
    num_samples: int = Field(3, ge=0, title="Run", description="Texts in a sample")
    save_every: int = Field(200, ge=1, title="Run", description="Steps between two checkpoints")
    keep_last: int = Field(
        3, ge=1, title="Run", description="Newest checkpoints kept, with the best"
    )
    tensorboard: bool = Field(True, title="Run", description="Write TensorBoard events, too")
    auto_resume: bool = Field(
        False, title="Run", description="Go on if the run has a checkpoint, else start it"
    )
    extend_steps: int = Field(
        0, ge=0, title="Run", description="Steps that --resume adds to a run that is complete"
    )

    @model_validator(mode="after")
    def _schedule_fits(self) -> "TrainSettings":
        if self.d_model % (2 * self.num_heads):
            raise ValueError(
                f"d_model {self.d_model} is not a multiple of twice num_heads {self.num_heads}; "
                "heads need an even width; change one of them"
            )
        return self

    @property
    def pair_filter(self) -> PairFilter:
        """Which pairs of the data are read."""
        return PairFilter(
            authors=tuple(self.authors),
            exclude_authors=tuple(self.exclude_authors),
            sources=tuple(self.sources),
            exclude_sources=tuple(self.exclude_sources),
            min_tokens=self.min_tokens,
            max_tokens=self.max_tokens,
            skip_ids=read_skip_ids(self.skip_ids) if self.skip_ids else (),
        )

    @property
    def budget(self) -> BatchBudget:
        """How global batches are cut."""
        if self.batch_tokens:
            return BatchBudget(tokens=self.batch_tokens)
        return BatchBudget(sequences=self.batch_size)


TRAJECTORY: Final = (
    *("direction", "batch_size", "batch_tokens", "window_samples", "seed"),
    *("authors", "exclude_authors", "sources", "exclude_sources", "min_tokens", "max_tokens"),
    *("d_model", "num_heads", "encoder_layers", "decoder_layers", "d_ff", "dropout"),
)
"""What a resumed run must not change, since its batches or its model would be others."""
