"""The second run: a pupil that finds copies learns from a tutor what pictures show."""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor
from tqdm import tqdm

from model_export.catalog import NANO
from model_export.network.architecture import Architecture
from training import lessons, loss, views
from training.lessons import Lessons
from training.network import Network, load, save
from training.recipe import Phase

SAVE_EVERY = 20


@dataclass(frozen=True)
class Course:
    """Everything about the second run that is a choice.

    Attributes:
        phases: One after the other, from small pictures to those of the model's size.
        count: Pictures there are.
        pupils: Pictures a step.
        decay: Of weights that are matrices.
        warm_up: The first steps of each phase, over which the rate rises.
        average: Share of the mean of weights over time that a step leaves as it was.
    """

    phases: tuple[Phase, ...] = (Phase(112, 8000, 3e-4), Phase(224, 2500, 2e-4))
    count: int = 30_000
    pupils: int = 64
    decay: float = 0.05
    warm_up: int = 100
    average: float = 0.99
    seed: int = 0
    architecture: Architecture = NANO.architecture

    @property
    def steps(self) -> int:
        """Of all phases."""
        return sum(phase.steps for phase in self.phases)

    def at(self, step: int) -> tuple[int, float]:
        """Side of the pictures in pixels and learning rate of a step."""
        for phase in self.phases:
            if step < phase.steps:
                return phase.side, phase.rate_at(step) * min(1.0, (step + 1) / self.warm_up)
            step -= phase.steps
        raise ValueError("the course has no such step")


DEFAULT = Course()


class Tuition:
    """A run in a folder: `checkpoint.pt` to resume, `log.jsonl`, `model.safetensors` (the mean).

    Attributes:
        average: The mean of the weights over time (EMA): what is saved.
    """

    def __init__(
        self, course: Course, pupil: Network, taught: Lessons, folder: Path, threads: int
    ) -> None:
        torch.set_num_threads(1)
        self.course, self.network, self.lessons, self.folder = course, pupil, taught, folder
        self.threads = min(threads, course.pupils)
        self.average = deepcopy(pupil)
        weights = [p for p in pupil.parameters() if p.ndim > 1]
        others = [p for p in pupil.parameters() if p.ndim <= 1]
        groups = [{"params": weights, "weight_decay": course.decay}, {"params": others}]
        self.optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0)
        self.step = 0
        self.seconds = self.processor_seconds = 0.0
        folder.mkdir(parents=True, exist_ok=True)

    def go(self) -> None:
        """Take the steps that are left; write the weights every SAVE_EVERY steps and at the end.

        Raises:
            ValueError: The folder's checkpoint is of another course.
        """
        self._resume()
        course, log = self.course, self.folder / "log.jsonl"
        bar = tqdm(total=course.steps, initial=self.step, desc="learning", smoothing=0.05)
        with ThreadPoolExecutor(self.threads) as workers, log.open("a") as lines, bar:
            while self.step < course.steps:
                wall, processor = time.perf_counter(), time.process_time()
                record = self._learn(workers)
                self.seconds += time.perf_counter() - wall
                self.processor_seconds += time.process_time() - processor
                self.step += 1
                lines.write(json.dumps({"step": self.step} | record) + "\n")
                lines.flush()
                bar.set_postfix(record)
                bar.update()
                if self.step % SAVE_EVERY == 0 or self.step == course.steps:
                    self._save()

    def _learn(self, workers: ThreadPoolExecutor) -> dict[str, float]:
        side, rate = self.course.at(self.step)
        if self.network.side != side:
            self.network.resize(side)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        g = Generator().manual_seed(self.course.seed + 7919 * self.step)
        chosen = torch.randperm(len(self.lessons.pictures), generator=g)[: self.course.pupils]
        shares = chosen.tensor_split(self.threads)
        told = list(workers.map(self._tell, range(len(shares)), shares))
        for parameter, *parts in zip(
            self.network.parameters(), *(gradients for gradients, _, _ in told), strict=True
        ):
            parameter.grad = torch.stack(parts).sum(0)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        with torch.no_grad():
            kept = min(self.course.average, (1 + self.step) / (10 + self.step))
            for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(now, 1 - kept)
        value = sum(value for _, value, _ in told) / len(told)
        found = sum(found for _, _, found in told) / len(told)
        return {"lesson": round(value, 4), "found": round(found, 4)}

    def _tell(self, share: int, chosen: Tensor) -> tuple[list[Tensor], float, float]:
        """Gradients of one share, its loss, and the share of its pictures that it found."""
        g = self._generator(share)
        pictures, side = self.lessons.pictures[chosen], self.network.side
        half = len(chosen) // 2
        mild = views.copies(g, pictures[:half], side, views.MILD)
        strong = views.copies(g, pictures[half:], side, views.LESSON)
        said = self.network(torch.cat([mild, strong]))
        wanted = self.lessons.targets
        value, found = loss.echo(said, wanted[chosen], wanted, chosen)
        gradients = torch.autograd.grad(value / self.threads, list(self.network.parameters()))
        return list(gradients), float(value.detach()), found

    def _generator(self, share: int) -> Generator:
        seed = (self.course.seed * 100_003 + self.step) * 64 + share
        return Generator().manual_seed(seed)

    def _save(self) -> None:
        state = {
            "course": asdict(self.course),
            "step": self.step,
            "seconds": self.seconds,
            "processor_seconds": self.processor_seconds,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        path = self.folder / "checkpoint.pt"
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)
        save(self.average, self.folder / "model.safetensors")

    def _resume(self) -> None:
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=False)  # our own file, with more than tensors in it
        if state["course"] != asdict(self.course):
            raise ValueError(f"{path} is of another course; name another folder or remove it")
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]
        self.seconds, self.processor_seconds = state["seconds"], state["processor_seconds"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch, draw and ask what is not there yet; then learn, or go on learning."""
    parser = argparse.ArgumentParser(prog="python -m training.tuition", description=__doc__)
    parser.add_argument("--from", dest="start", type=Path, required=True, metavar="WEIGHTS")
    parser.add_argument("--output", type=Path, default=Path("training/tuition"), metavar="FOLDER")
    parser.add_argument("--collected", type=Path, default=Path("training/collected"))
    parser.add_argument("--pictures", type=Path, default=Path("training/pictures"))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args(arguments)
    pupil = Network(DEFAULT.architecture)
    load(pupil, options.start)
    taught = lessons.prepare(
        pupil, DEFAULT.count, DEFAULT.seed, options.collected, options.pictures, options.threads
    )
    Tuition(DEFAULT, pupil, taught, options.output, options.threads).go()
    return 0


if __name__ == "__main__":
    sys.exit(main())
