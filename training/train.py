"""The run: pictures, copies, network and loss, step by step, with a checkpoint to go on from."""

import json
import math
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from tqdm import tqdm

from training import loss, pool, views
from training.network import Network, save
from training.recipe import Recipe
from training.scenes import SHEET
from training.teacher import Teacher

SAVE_EVERY = 25
CALIBRATION = 128
"""Pictures that the embeddings' mean and variance are measured on."""


class Told(NamedTuple):
    """What a share of a lesson gave: gradients; the loss, and the share of copies found."""

    gradients: list[Tensor]
    figures: tuple[float, float]


class Run:
    """A training run in a folder: `checkpoint.pt` to resume, `log.jsonl`, `model.safetensors`.

    A step's pictures are cut into as many shares as there are threads. Each thread makes the copies
    of its share, embeds them, and later takes the gradient back; PyTorch's own threads are off.
    On a few cores that others use too, this is faster than threads inside each operation, which
    wait for the slowest at every one of thousands of operations.
    """

    def __init__(self, recipe: Recipe, folder: Path, cache: Path, threads: int) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(recipe.seed)
        self.recipe, self.folder = recipe, folder
        self.threads = min(threads, recipe.pairs, recipe.pupils)  # no share without a picture
        self.pictures = pool.draw(recipe.seed, recipe.sheets, cache, threads)
        self.source = self.pictures
        self.network = Network(recipe.architecture)
        weights = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [{"params": weights, "weight_decay": recipe.decay}, {"params": others}]
        self.optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0)
        self.teacher: Teacher | None = None
        self.step = 0
        self.seconds = 0.0
        self.processor_seconds = 0.0
        folder.mkdir(parents=True, exist_ok=True)

    def go(self) -> None:
        """Take the steps that are left, then write the weights.

        Raises:
            ValueError: The folder's checkpoint is of another recipe.
        """
        self._resume()
        recipe = self.recipe
        side = 0
        log = self.folder / "log.jsonl"
        bar = tqdm(total=recipe.steps, initial=self.step, desc="training", smoothing=0.05)
        with ThreadPoolExecutor(self.threads) as workers, log.open("a") as lines, bar:
            while self.step < recipe.steps:
                wall, processor = time.perf_counter(), time.process_time()
                wanted, rate = recipe.at(self.step)
                if side != wanted:
                    side = wanted
                    self.network.resize(side)
                    self.source = pool.shrink(self.pictures, side)
                for group in self.optimiser.param_groups:
                    group["lr"] = rate
                taught = self.step >= recipe.untaught
                record = self._listen(workers) if taught else self._contrast(workers)
                self.seconds += time.perf_counter() - wall
                self.processor_seconds += time.process_time() - processor
                self.step += 1
                lines.write(json.dumps({"step": self.step} | record) + "\n")
                lines.flush()
                bar.set_postfix(record)
                bar.update()
                if self.step % SAVE_EVERY == 0 or self.step == recipe.steps:
                    self._save()
        if not recipe.lessons:  # a pupil speaks in its teacher's terms
            self._calibrate()
        save(self.network, self.folder / "model.safetensors")

    @torch.no_grad()
    def _calibrate(self) -> None:
        """Measure mean and variance of embeddings at full size; a running mean would lag behind."""
        self.network.resize(self.recipe.architecture.image_size)
        g = Generator().manual_seed(self.recipe.seed)
        some = self.pictures[:: max(1, len(self.pictures) // CALIBRATION)]
        copies = [views.copies(g, part, self.network.side, views.MILD) for part in some.split(16)]
        embedded = torch.cat([self.network(part) for part in copies])
        self.network.standardise.running_mean.copy_(embedded.mean(0))
        self.network.standardise.running_var.copy_(embedded.var(0))

    def _contrast(self, workers: ThreadPoolExecutor) -> dict[str, float]:
        """Tell copies of one picture from copies of others."""
        chosen = self._choose()
        shares = chosen.tensor_split(self.threads)
        embedded = list(workers.map(self._embed_pair, range(len(shares)), shares))
        ends = [tuple(part.detach().requires_grad_() for part in pair) for pair in embedded]
        first, second = (torch.cat(parts) for parts in zip(*ends, strict=True))
        both = self.network.standardise(torch.cat([first, second]))
        first, second = both.chunk(2)
        value, right = loss.contrast(first, second, chosen)
        value.backward()
        self._improve(workers.map(self._gradients, embedded, ends))
        return {"contrast": round(float(value.detach()), 4), "copies found": round(right, 4)}

    def _listen(self, workers: ThreadPoolExecutor) -> dict[str, float]:
        """Say of large copies what it said of small ones when the lessons began."""
        teacher = self.teacher = self.teacher or self._teacher(self.network)
        its = teacher.network.standardise.state_dict()
        self.network.standardise.eval().load_state_dict(its)
        g = Generator().manual_seed(self.recipe.seed + 7919 * self.step)
        chosen = torch.randperm(len(self.source), generator=g)[: self.recipe.pupils]
        shares = chosen.tensor_split(self.threads)
        told = list(workers.map(partial(self._tell, teacher), range(len(shares)), shares))
        self._improve(one.gradients for one in told)
        value, right = (
            sum(each) / len(told) for each in zip(*(one.figures for one in told), strict=True)
        )
        return {"lesson": round(value, 4), "copies found": round(right, 4)}

    def _tell(self, teacher: Teacher, share: int, chosen: Tensor) -> Told:
        """One share of a lesson."""
        g, side = self._generator(share), self.network.side
        large, small = views.lesson(g, self.source[chosen], side, teacher.network.side)
        said = self.network.standardise(self.network(large))
        value, right = loss.echo(said, teacher.says(small), teacher.prototypes, chosen)
        ends = (value / self.threads,)
        parameters = list(self.network.parameters())
        gradients = torch.autograd.grad(ends, parameters, materialize_grads=True)
        return Told(list(gradients), (float(value.detach()), right))

    def _teacher(self, network: Network) -> Teacher:
        return Teacher(network, self.recipe.taught_side, self.pictures, self.recipe.seed)

    def _choose(self) -> Tensor:
        """Pictures of a step, eight from a sheet: its things and palettes recur in other scenes."""
        g = Generator().manual_seed(self.recipe.seed + 7919 * self.step)
        sheets = torch.randperm(self.recipe.sheets, generator=g)[: max(1, self.recipe.pairs // 8)]
        inside = torch.stack([torch.randperm(SHEET, generator=g) for _ in sheets])
        inside = inside[:, : math.ceil(self.recipe.pairs / len(sheets))]
        chosen = (sheets[:, None] * SHEET + inside).flatten()[: self.recipe.pairs]
        return chosen[torch.randperm(len(chosen), generator=g)]

    def _generator(self, share: int) -> Generator:
        seed = (self.recipe.seed * 100_003 + self.step) * 64 + share
        return Generator().manual_seed(seed)

    def _embed_pair(self, share: int, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings of two copies of each picture, one less altered than the other."""
        g, side = self._generator(share), self.network.side
        pictures = self.source[chosen]
        mild = views.copies(g, pictures, side, views.MILD)
        strong = views.copies(g, pictures, side, views.STRONG)
        embedded = self.network(torch.cat([mild, strong]))
        return embedded[: len(chosen)], embedded[len(chosen) :]

    def _gradients(self, outputs: tuple[Tensor, ...], ends: tuple[Tensor, ...]) -> list[Tensor]:
        """Gradients of one share for every parameter."""
        given = [end.grad for end in ends]
        parameters = list(self.network.parameters())
        return list(torch.autograd.grad(outputs, parameters, given, materialize_grads=True))

    def _improve(self, shares: Iterable[list[Tensor]]) -> None:
        """One step of the optimiser along the sum of the shares' gradients."""
        for parameter, *parts in zip(self.network.parameters(), *shares, strict=True):
            parameter.grad = torch.stack(parts).sum(0)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()

    def _save(self) -> None:
        state = {
            "recipe": asdict(self.recipe),
            "step": self.step,
            "seconds": self.seconds,
            "processor_seconds": self.processor_seconds,
            "network": self.network.state_dict(),
            "teacher": self.teacher and self.teacher.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        path = self.folder / "checkpoint.pt"
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)

    def _resume(self) -> None:
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=False)  # our own file, with more than tensors in it
        if state["recipe"] != asdict(self.recipe):
            raise ValueError(f"{path} is of another recipe; name another folder or remove it")
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        if state["teacher"]:
            taught = Network(self.recipe.architecture)
            taught.load_state_dict(state["teacher"])
            self.teacher = self._teacher(taught)
        self.step = state["step"]
        self.seconds, self.processor_seconds = state["seconds"], state["processor_seconds"]
