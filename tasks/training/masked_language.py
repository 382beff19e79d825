"""Going on to train an encoder on texts of one's own: it learns to guess tokens that are hidden from it.

Devlin et al., "BERT" (2019), section 3.1: 15 of 100 tokens are to be guessed; what the network makes of the others is
how it reads a text. A training that is killed goes on from its last checkpoint.
"""

from __future__ import annotations

import json
import math
import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from otzyv.tasks.extractors.card import Card
from otzyv.tasks.extractors.fitted import TooLittle
from otzyv.tasks.inference.tokenizer import tokenizer
from otzyv.tasks.inference.transformer import configuration
from otzyv.tasks.models.store import WrongWeights

HELD_OUT = 10
"""Every tenth text is never trained on: perplexity is measured on these."""
LEAST = 20
"""Texts without which there is nothing to measure."""
FILES = ("model.safetensors", "config.json", "tokenizer.json")


@dataclass(frozen=True, slots=True)
class Training:
    """How it is trained. Texts are cut at ``max_tokens``; ``rate`` falls to nothing, linearly."""

    epochs: int = 3
    batch: int = 8
    rate: float = 5e-5
    max_tokens: int = 128
    masked: float = 0.15
    checkpoint_steps: int = 200
    seed: int = 7


@dataclass(frozen=True, slots=True)
class Point:
    """Perplexity of held-out texts after so many steps: e to the mean loss of a hidden token."""

    step: int
    perplexity: float


@dataclass(frozen=True, slots=True)
class Curve:
    """How a training went. ``new_head``: the base came without the layer that guesses, so it began with a fresh one."""

    points: tuple[Point, ...]
    trained: int
    held_out: int
    new_head: bool

    @property
    def before(self) -> float:
        return self.points[0].perplexity

    @property
    def after(self) -> float:
        return self.points[-1].perplexity


def train(
    card: Card,
    files: Mapping[str, Path],
    texts: Sequence[str],
    work: Path,
    training: Training,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Any, Curve]:
    """The network, trained on the texts on from an encoder's files, and the curve of its perplexity.

    ``work``: a folder for checkpoints, of this training alone; one that lies there is gone on from, and the end is the
    same as without the break. Checkpoints are read by safetensors and by torch with ``weights_only``. ``progress`` is
    told the steps done and all. Raises TooLittle; WrongWeights where the files do not make up an encoder.
    """
    if len(texts) < LEAST:
        raise TooLittle(
            f"{card.name}: {len(texts)} texts are too few to train on and to measure; give at least {LEAST}"
        )
    model, new_head = _masked_language_model(card, files, training.seed)
    import transformers

    transformers.utils.logging.disable_progress_bar()  # of its own, for each file it writes
    marks = _marks(card, files, training.max_tokens)
    rows = _rows(card, files, texts, training.max_tokens)
    learned, held = [row for i, row in enumerate(rows) if i % HELD_OUT], rows[::HELD_OUT]

    def hide(batch: list[dict[str, list[int]]]) -> Any:
        """Which tokens are hidden follows from the batch alone, so that a break changes nothing."""
        ids = json.dumps([training.seed, [row["input_ids"] for row in batch]]).encode()
        collator = transformers.DataCollatorForLanguageModeling(
            marks, mlm_probability=training.masked, seed=zlib.crc32(ids)
        )
        return collator(batch)

    batches = [hide(held[start : start + training.batch]) for start in range(0, len(held), training.batch)]

    class Watch(transformers.TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 0:
                self.measure(state)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if progress:
                progress(state.global_step, state.max_steps)

        def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.measure(state)

        def measure(self, state: Any) -> None:
            state.log_history.append(asdict(Point(state.global_step, perplexity(model, batches))))

    trainer = transformers.Trainer(
        model=model,
        args=transformers.TrainingArguments(
            output_dir=str(work),
            num_train_epochs=training.epochs,
            per_device_train_batch_size=training.batch,
            learning_rate=training.rate,
            seed=training.seed,
            use_cpu=True,
            save_steps=training.checkpoint_steps,
            save_total_limit=2,
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
        ),
        train_dataset=learned,
        data_collator=hide,
        callbacks=[Watch()],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    checkpoint = last_checkpoint(work)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    points = [Point(said["step"], said["perplexity"]) for said in trainer.state.log_history if "perplexity" in said]
    return model, Curve(tuple(points), len(learned), len(held), new_head)


def last_checkpoint(work: Path) -> Path | None:
    """The newest checkpoint that is whole; those that were cut off are removed."""
    whole = []
    for folder in work.glob("checkpoint-*"):
        try:
            json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))  # written last
        except (OSError, ValueError):
            shutil.rmtree(folder)
        else:
            whole.append(folder)
    return max(whole, key=lambda folder: int(folder.name.rpartition("-")[2]), default=None)


def perplexity(model: Any, batches: Sequence[Any]) -> float:
    """e to the mean loss over every hidden token of the batches."""
    import torch

    training, loss, hidden = model.training, 0.0, 0
    model.eval()
    with torch.inference_mode():
        for batch in batches:
            count = int((batch["labels"] != -100).sum())
            if count:
                loss += float(model(**batch).loss) * count
                hidden += count
    model.train(training)
    return math.exp(loss / hidden) if hidden else math.nan


def save(model: Any, files: Mapping[str, Path], folder: Path) -> None:
    """The network with its tokenizer as an extractor's files: safetensors and JSON."""
    from safetensors.torch import save_file

    prefix, kept, seen = f"{model.base_model_prefix}.", {}, set()
    state = model.state_dict()
    for key in sorted(
        state, key=lambda key: (not key.startswith(prefix), key)
    ):  # of a shared tensor the encoder's name
        if state[key].data_ptr() not in seen:
            seen.add(state[key].data_ptr())
            kept[key] = state[key].contiguous()
    save_file(kept, folder / "model.safetensors")
    model.config.to_json_file(folder / "config.json")
    shutil.copyfile(files["tokenizer.json"], folder / "tokenizer.json")


def plot(curve: Curve, title: str) -> str:
    """The curve as an SVG picture."""
    from html import escape

    width, height, left, top = 640, 360, 70, 50
    steps, values = [p.step for p in curve.points], [p.perplexity for p in curve.points]
    low, high = min(values), max(values)
    span = (high - low) or 1.0

    def place(point: Point) -> str:
        x = left + (width - left - 30) * point.step / (steps[-1] or 1)
        y = top + (height - top - 60) * (high - point.perplexity) / span
        return f"{x:.1f},{y:.1f}"

    dots = "".join(
        f'<circle cx="{x}" cy="{y}" r="4"><title>step {p.step}: {p.perplexity:.2f}</title></circle>'
        for p in curve.points
        for x, y in [place(p).split(",")]
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="13" fill="#333"><rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="{left}" y="22" font-size="15">{escape(title)}</text>'
        f'<text x="{left}" y="40">perplexity of {curve.held_out} held-out texts: {curve.before:.2f} before, '
        f"{curve.after:.2f} after</text>"
        f'<g text-anchor="end"><text x="{left - 10}" y="{top + 5}">{high:.1f}</text>'
        f'<text x="{left - 10}" y="{height - 55}">{low:.1f}</text></g>'
        f'<path d="M{left},{top}V{height - 60}H{width - 30}" fill="none" stroke="#999"/>'
        f'<text x="{left}" y="{height - 40}">0</text>'
        f'<text x="{width - 30}" y="{height - 40}" text-anchor="end">step {steps[-1]:,}</text>'
        f'<polyline points="{" ".join(map(place, curve.points))}" fill="none" stroke="#1f6feb" stroke-width="2"/>'
        f'<g fill="#1f6feb">{dots}</g></svg>\n'
    )


def _masked_language_model(card: Card, files: Mapping[str, Path], seed: int) -> tuple[Any, bool]:
    """The encoder with the layer that guesses, and whether that layer is new. Raises WrongWeights."""
    config = configuration(card, files)
    import transformers
    from safetensors.torch import load_file

    transformers.set_seed(seed)  # a new layer begins with what is drawn
    model = transformers.MODEL_FOR_MASKED_LM_MAPPING[type(config)](config)
    stored = load_file(files["model.safetensors"])
    prefix = f"{model.base_model_prefix}."
    needed = model.state_dict()
    found = {key: stored.get(key, stored.get(key.removeprefix(prefix))) for key in needed}
    found = {key: tensor for key, tensor in found.items() if tensor is not None}
    shared = {needed[key].data_ptr() for key in found}
    missing = [key for key in needed if key not in found and needed[key].data_ptr() not in shared]
    if any(key.startswith(prefix) for key in missing):
        raise WrongWeights(f"{card.name}: model.safetensors does not hold the {config.model_type} of config.json")
    model.load_state_dict(found, strict=False)
    return model, bool(missing)


def _rows(card: Card, files: Mapping[str, Path], texts: Sequence[str], max_tokens: int) -> list[dict[str, list[int]]]:
    encoded = tokenizer(card.name, files, max_tokens).encode_batch(list(texts))
    return [{"input_ids": row.ids, "special_tokens_mask": row.special_tokens_mask} for row in encoded]


def _marks(card: Card, files: Mapping[str, Path], max_tokens: int) -> Any:
    """The tokenizer as transformers wants it to hide tokens and to pad."""
    import transformers

    made = tokenizer(card.name, files, max_tokens)
    names = {}
    for role, spellings in (("mask_token", ("[MASK]", "<mask>")), ("pad_token", ("[PAD]", "<pad>"))):
        known = [name for name in spellings if made.token_to_id(name) is not None]
        if not known:
            raise WrongWeights(f"{card.name}: tokenizer.json has none of {', '.join(spellings)}")
        names[role] = known[0]
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, **names)
