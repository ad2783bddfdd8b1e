"""Settings and, on a resume, a checkpoint → everything a run needs, on its device."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from shards.dataset import Dataset, make_store, open_dataset, parse_dataset_url
from shards.http import RetryPolicy
from trainer.config import TRAJECTORY, TrainSettings
from trainer.errors import CheckpointError, TrainingError
from trainer.model.transformer import ModelConfig, Seq2SeqTransformer
from trainer.stream.cache import BlobCache
from trainer.stream.dataset import BatchStream, StreamConfig
from trainer.stream.order import Cursor
from trainer.text import TextCodec
from trainer.training.checkpoint import Checkpoint
from trainer.training.optim import make_optimizer

_MIN_POSITIONS = 1024
_MANY = 1_000_000


@dataclass(slots=True)
class TrainState:
    """All that changes as training goes on, besides the tensors."""

    step: int = 0
    cursor: Cursor = field(default_factory=Cursor)
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
    dataset: Dataset
    cache: BlobCache | None
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

    def stream(self, config: StreamConfig, cursor: Cursor | None = None) -> BatchStream:
        return BatchStream(self.dataset, config, cursor=cursor, cache=self.cache)


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


def set_up(settings: TrainSettings, checkpoint: Checkpoint | None = None) -> Run:
    """Open the data, seed, and build the model, or restore all of it from a checkpoint.

    Raises:
        ShardError, TrainingError, CheckpointError: before anything is changed on disk.
    """
    device = choose_device(settings.device)
    if settings.cpu_threads:
        torch.set_num_threads(settings.cpu_threads)
    # opened with little patience, so that a wrong URL is told soon; then read with much
    dataset = _open_data(settings, checkpoint)
    patient = RetryPolicy(attempts=_MANY, deadline_s=settings.data_timeout_s)
    dataset = replace(dataset, store=make_store(dataset.ref, patient))
    cache = _make_cache(settings, dataset)
    info = dataset.manifest.tokenizer
    tokenizer_model = cache.read(info) if cache else dataset.read_blob(info)
    random.seed(settings.seed)
    torch.manual_seed(settings.seed)
    model = Seq2SeqTransformer(_model_config(settings, dataset, device)).to(device)
    amp_dtype = choose_amp(settings.amp, device)
    run = Run(
        settings=settings,
        device=device,
        amp_dtype=amp_dtype,
        dataset=dataset,
        cache=cache,
        tokenizer_model=tokenizer_model,
        codec=TextCodec.of(tokenizer_model, TextCodec.describe(dataset.manifest)),
        model=model,
        optimizer=make_optimizer(
            model, weight_decay=settings.weight_decay, learning_rate=settings.learning_rate
        ),
        scaler=torch.amp.GradScaler(device.type, enabled=amp_dtype == torch.float16),
        state=TrainState(),
    )
    if checkpoint is not None:
        _restore(run, checkpoint)
    return run


def _open_data(settings: TrainSettings, checkpoint: Checkpoint | None) -> Dataset:
    if checkpoint is None:
        return open_dataset(settings.data)
    told = checkpoint.state["data"]
    ref = parse_dataset_url(settings.data)
    if ref.version not in (None, told["version"]):
        raise CheckpointError(
            f"checkpoint {checkpoint.folder} was trained on version {told['version'][:12]}, --data "
            f"names {ref.version[:12] if ref.version else ''}; the steps would not go on where "
            "they stopped; name the data set without a version, or start a new run"
        )
    dataset = open_dataset(ref.pinned(told["version"]).url)
    if dataset.manifest.tokenizer.sha256 != told["tokenizer_sha256"]:
        raise CheckpointError(
            f"checkpoint {checkpoint.folder} was trained with tokenizer "
            f"{told['tokenizer_sha256'][:12]}, the data has "
            f"{dataset.manifest.tokenizer.sha256[:12]}; its ids mean other text; resume with the "
            "data of the run"
        )
    return dataset


def _make_cache(settings: TrainSettings, dataset: Dataset) -> BlobCache | None:
    """A local folder needs no copy of itself."""
    if not settings.cache_bytes or not dataset.ref.is_http:
        return None
    folder = settings.cache_dir.expanduser() / "blobs"
    return BlobCache(folder, settings.cache_bytes, dataset.read_blob)


def _model_config(settings: TrainSettings, dataset: Dataset, device: torch.device) -> ModelConfig:
    manifest = dataset.manifest
    longest = max(
        max(len(split.src_lengths), len(split.tgt_lengths)) for split in manifest.splits.values()
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
        "cursor": [state.cursor.epoch, state.cursor.window, state.cursor.batch],
        "best_loss": state.best_loss,
        "best_step": state.best_step,
        "evaluations_since_best": state.evaluations_since_best,
        "tokens": state.tokens,
        "scaler": run.scaler.state_dict(),
        "model": model_description(run.model.config),
        "text": TextCodec.describe(run.dataset.manifest),
        "data": {
            "url": run.settings.data,
            "version": run.dataset.version,
            "tokenizer_sha256": run.dataset.manifest.tokenizer.sha256,
        },
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
        cursor=Cursor(*told["cursor"]),
        best_loss=told["best_loss"],
        best_step=told["best_step"],
        evaluations_since_best=told["evaluations_since_best"],
        tokens=told["tokens"],
    )
