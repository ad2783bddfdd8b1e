"""Settings and, on a resume, a checkpoint → everything a run needs, on its device."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from shards.cli.console import Report, silent
from shards.manifest import Manifest
from trainer.config import TRAJECTORY, TrainSettings
from trainer.errors import CheckpointError, TrainingError
from trainer.model.transformer import ModelConfig, Seq2SeqTransformer
from trainer.stream.order import ORDER_VERSION
from trainer.stream.proof import Progress
from trainer.text import TextCodec
from trainer.training.checkpoint import Checkpoint
from trainer.training.data import Pinned, Source, filter_digest, open_sources
from trainer.training.optim import make_optimizer

_MIN_POSITIONS = 1024


@dataclass(slots=True)
class TrainState:
    """All that changes as training goes on, besides the tensors."""

    step: int = 0
    progress: list[Progress] = field(default_factory=list)  # of each data set
    best_loss: float | None = None
    best_step: int | None = None
    evaluations_since_best: int = 0
    tokens: int = 0


@dataclass(slots=True)
class Run:
    """One training run, set up: the data, the model, what moves it, and where it stands."""

    settings: TrainSettings
    device: torch.device
    amp_dtype: torch.dtype | None
    sources: tuple[Source, ...]
    tokenizer_model: bytes
    codec: TextCodec
    model: Seq2SeqTransformer
    optimizer: torch.optim.AdamW
    scaler: torch.amp.GradScaler
    state: TrainState

    @property
    def checkpoints(self) -> Path:
        return self.settings.run_dir / "checkpoints"

    def autocast(self) -> torch.autocast:
        """The mixed precision of this run, as a context."""
        return torch.autocast(
            self.device.type,
            dtype=self.amp_dtype or torch.bfloat16,
            enabled=self.amp_dtype is not None,
        )

    @property
    def manifest(self) -> Manifest:
        """Of the first data set; tokenizer and tags are those of all."""
        return self.sources[0].dataset.manifest


def choose_device(name: str) -> torch.device:
    """The device of a setting; "auto" is CUDA where there is one.

    Raises:
        TrainingError: when the device asked for is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise TrainingError(f"device {name!r} is unknown; use auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise TrainingError(f"device {name!r} is not trained on; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and torch.cuda.is_available():
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise TrainingError(f"device {name!r} is not there; this machine has {count} GPUs")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise TrainingError(
            "device cuda was asked for, but torch sees no GPU; nothing was started; check the "
            "driver (nvidia-smi) and the container's GPU settings, or use --device cpu"
        )
    return device


def choose_amp(name: str, device: torch.device) -> torch.dtype | None:
    """The autocast type of a setting; "auto": bf16 where the GPU has it, else fp16; CPU: none."""
    if name == "auto":
        if device.type != "cuda":
            return None
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float16
    return {"fp16": torch.float16, "bf16": torch.bfloat16, "off": None}[name]


def set_up(
    settings: TrainSettings, checkpoint: Checkpoint | None = None, report: Report = silent
) -> Run:
    """Open the data, seed, and build the model, or restore all of it from a checkpoint.

    Raises:
        ShardError, TrainingError, CheckpointError: before anything is changed on disk.
    """
    device = choose_device(settings.device)
    if settings.cpu_threads:
        torch.set_num_threads(settings.cpu_threads)
    pinned = None
    if checkpoint is not None:
        _check_order(checkpoint)
        pinned = Pinned(f"checkpoint {checkpoint.folder}", checkpoint.state["data"])
    sources = open_sources(settings, pinned, report)
    if not any(source.samples("train") for source in sources):
        raise TrainingError(
            f"{settings.data} has no samples to train on once the filters are applied; nothing was "
            "started; ask for less"
        )
    dataset, cache = sources[0].dataset, sources[0].cache
    info = dataset.manifest.tokenizer
    tokenizer_model = cache.read(info) if cache else dataset.read_blob(info)
    random.seed(settings.seed)
    torch.manual_seed(settings.seed)
    model = Seq2SeqTransformer(_model_config(settings, sources, device)).to(device)
    amp_dtype = choose_amp(settings.amp, device)
    run = Run(
        settings=settings,
        device=device,
        amp_dtype=amp_dtype,
        sources=sources,
        tokenizer_model=tokenizer_model,
        codec=TextCodec.of(tokenizer_model, TextCodec.describe(dataset.manifest)),
        model=model,
        optimizer=make_optimizer(
            model, weight_decay=settings.weight_decay, learning_rate=settings.learning_rate
        ),
        scaler=torch.amp.GradScaler(device.type, enabled=amp_dtype == torch.float16),
        state=TrainState(progress=[Progress() for _ in sources]),
    )
    if checkpoint is not None:
        _restore(run, checkpoint)
    return run


def _check_order(checkpoint: Checkpoint) -> None:
    if (found := checkpoint.state.get("order", 1)) != ORDER_VERSION:
        raise CheckpointError(
            f"checkpoint {checkpoint.folder} was made with order {found} of the batches, this "
            f"release has order {ORDER_VERSION}: the run would see some pairs twice and others "
            "not; resume it with the release that made it, or start a new run"
        )


def _model_config(
    settings: TrainSettings, sources: Sequence[Source], device: torch.device
) -> ModelConfig:
    manifest = sources[0].dataset.manifest
    longest = max(
        max(len(split.src_lengths), len(split.tgt_lengths))
        for source in sources
        for split in source.dataset.manifest.splits.values()
    )
    checkpointing = settings.grad_checkpointing
    return ModelConfig(
        vocab_size=manifest.tokenizer.vocab_size,
        d_model=settings.d_model,
        num_heads=settings.num_heads,
        encoder_layers=settings.encoder_layers,
        decoder_layers=settings.decoder_layers,
        d_ff=settings.d_ff,
        dropout=settings.dropout,
        # room for <to_x>, tags and <eos> around the longest text of either side
        max_positions=max(_MIN_POSITIONS, longest + manifest.tags.prefix_tokens + 2),
        pad_id=manifest.tokenizer.pad_id,
        bos_id=manifest.tokenizer.bos_id,
        eos_id=manifest.tokenizer.eos_id,
        checkpointing=checkpointing == "on" or (checkpointing == "auto" and device.type == "cuda"),
    )


def model_description(config: ModelConfig) -> dict[str, Any]:
    """What a checkpoint keeps to build the same model again."""
    return {name: getattr(config, name) for name in config.__dataclass_fields__}


def capture(run: Run) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The files and the state of a checkpoint of this very moment."""
    parameters = dict(run.model.state_dict())
    training: dict[str, Tensor] = {"rng.cpu": torch.get_rng_state()}
    if run.device.type == "cuda":
        training["rng.cuda"] = torch.cuda.get_rng_state(run.device)
    optimizer = run.optimizer.state_dict()
    for number, slots in optimizer["state"].items():
        for name, tensor in slots.items():
            training[f"optimizer.{number}.{name}"] = tensor
    state = run.state
    files = {
        "model.safetensors": safetensors.torch.save(_on_cpu(parameters)),
        "training.safetensors": safetensors.torch.save(_on_cpu(training)),
        "tokenizer.model": run.tokenizer_model,
    }
    return files, {
        "step": state.step,
        "order": ORDER_VERSION,
        "progress": [part.dump() for part in state.progress],
        "filter": filter_digest(run.settings.pair_filter),
        "best_loss": state.best_loss,
        "best_step": state.best_step,
        "evaluations_since_best": state.evaluations_since_best,
        "tokens": state.tokens,
        "scaler": run.scaler.state_dict(),
        "model": model_description(run.model.config),
        "text": TextCodec.describe(run.manifest),
        "data": [source.describe() for source in run.sources],
        "settings": run.settings.model_dump(mode="json"),
    }


def _on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _restore(run: Run, checkpoint: Checkpoint) -> None:
    told = checkpoint.state
    changed = [
        name
        for name in TRAJECTORY
        if told["settings"][name] != run.settings.model_dump(mode="json")[name]
    ]
    if told["filter"] != filter_digest(run.settings.pair_filter):
        changed.append("skip_ids")  # the same name, but other ids in it
    if changed:
        raise CheckpointError(
            f"checkpoint {checkpoint.folder} was trained with "
            + ", ".join(f"{name} {told['settings'][name]}" for name in changed)
            + "; another value would change its batches or its model; leave "
            + ("it" if len(changed) == 1 else "them")
            + " as in the run, or start a new one with another --run-dir"
        )
    run.model.load_state_dict(checkpoint.tensors("model.safetensors"))
    training = checkpoint.tensors("training.safetensors")
    slots: dict[int, dict[str, Tensor]] = {}
    for key, tensor in training.items():
        if key.startswith("optimizer."):
            _, number, name = key.split(".")
            slots.setdefault(int(number), {})[name] = tensor
    run.optimizer.load_state_dict(
        {"state": slots, "param_groups": run.optimizer.state_dict()["param_groups"]}
    )
    if told["scaler"] and run.scaler.is_enabled():
        run.scaler.load_state_dict(told["scaler"])
    torch.set_rng_state(training["rng.cpu"])
    if run.device.type == "cuda" and "rng.cuda" in training:
        torch.cuda.set_rng_state(training["rng.cuda"], run.device)
    run.state = TrainState(
        step=told["step"],
        progress=[Progress.load(part) for part in told["progress"]],
        best_loss=told["best_loss"],
        best_step=told["best_step"],
        evaluations_since_best=told["evaluations_since_best"],
        tokens=told["tokens"],
    )
