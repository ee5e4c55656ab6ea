"""GenePT: embeddings of what is written about genes, mapped to what perturbing them does.

Chen and Zou 2024 (bioRxiv 2023.10.16.562533) embed texts about genes with a language model. The CDN
paper predicts the shift of expression from the embedding of the perturbed gene, trained on training
perturbations, and ranks candidates by how near the prediction for them is to what was observed.
Here

- the map is ridge regression, nearest neighbours or a neural network, whichever predicts held-out
  clusters of training perturbations best (`predictors`);
- prediction and observation are compared by their Pearson correlation over genes, both as
  deviations from the mean training shift;
- genes without an embedding get the mean one of the genes that training measured, as in the paper:
  in training and as candidates, who then all get the same score; with `missing=none` they are left
  out of training and score NaN;
- candidates that no training task measured score NaN.

`genept` needs the published embeddings (Zenodo 10833191) as `embeddings`; reading their pickle
takes about 20 GB of memory, so give `--memory-gb 24`, or save them once as .npz (genes, vectors).
`genept-style` makes its own from `gene_text` by TF-IDF and a truncated SVD of `dimensions`; it is
another embedding, and is never called GenePT. A shift of several targets is predicted from the mean
of their embeddings in training.

Parameters: `missing`, what genes without an embedding get (mean, or none); `dimensions` of
genept-style (256).

Our own code; no code was published for the inversion. Licence: MIT, with this package.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from cdnbench.digest import generator
from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.knowledge import Embeddings, read_embeddings, read_texts, renaming
from cdnbench.method import MethodInfo, Trial
from cdnbench.methods.genept.predictors import choose, predict
from cdnbench.methods.profiles.profiles import Profiles, embed, places, standardised
from cdnbench.methods.trained import Trained
from cdnbench.task import Task
from cdnbench.truth import LabelledTask

_MODEL = "predictor/"


@dataclass(frozen=True, eq=False)
class GenePT(Trained):
    """Shifts predicted from the published embeddings."""

    missing: Literal["mean", "none"] = "mean"

    info: ClassVar[MethodInfo] = MethodInfo(
        name="genept",
        summary="Shifts predicted from GenePT embeddings of genes, inverted by correlation",
        version="2",
        citation="Chen, Zou 2024, GenePT; Wu et al. 2025 (its baseline GENEPT)",
        licence="MIT",
        supervised="required",
        stochastic=True,
        needs_symbols=True,
        needs=("embeddings",),
        min_samples=1,
        depends_on_units=True,
    )

    def __post_init__(self) -> None:
        if self.missing not in ("mean", "none"):
            raise InvalidParameter(
                f"{self.info.name}: missing is mean or none; got {self.missing!r}."
            )

    def embeddings(self, resources: Mapping[str, Path], names: Mapping[str, str]) -> Embeddings:
        return read_embeddings(resources["embeddings"], names)

    def fit(
        self, tasks: Sequence[LabelledTask], *, seed: int = 0, resources: Mapping[str, Path]
    ) -> dict[str, np.ndarray]:
        """Genes and mean of the shifts, embeddings of these genes, and the arrays of the predictor
        chosen.

        Raises
        ------
        CannotRun: fewer than two training perturbations have targets with an embedding.
        """
        profiles = Profiles.of(tasks)
        found = self.embeddings(
            resources, renaming(resources.get("identifiers"), profiles.genes.tolist())
        )
        at, there = places(found.genes, profiles.genes.tolist())
        embedded = (profiles.targets & there).any(axis=1)
        if embedded.sum() < 2:
            raise CannotRun(
                f"{self.info.name} needs two training perturbations whose targets have an "
                f"embedding; {embedded.sum()} of "
                f"{len(profiles.shifts)} have. Do the embeddings name genes as the data do? "
                "`identifiers` translates."
            )
        vectors = np.where(there[:, None], found.vectors[at], found.vectors[at[there]].mean(axis=0))
        used = there | (self.missing == "mean")
        targets = profiles.targets & used
        rows = np.flatnonzero(targets.any(axis=1))
        mixed = targets[rows].astype(float) / targets[rows].sum(axis=1, keepdims=True)
        x = mixed[:, used] @ vectors[used]
        mean, spread = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-9)
        usual = profiles.shifts.sum(axis=0) / np.maximum(profiles.known.sum(axis=0), 1)
        y = np.where(profiles.known, profiles.shifts - usual, 0.0)[rows]
        rng = generator("method", self.info.name, seed)
        chosen, model, scores = choose(
            (x - mean) / spread, y, profiles.clusters[rows].tolist(), rng
        )
        print(f"{chosen}: " + ", ".join(f"{name} {value:.3f}" for name, value in scores.items()))
        return {
            "genes": profiles.genes, "usual": usual, "embedded": profiles.genes[used],
            "vectors": ((vectors[used] - mean) / spread).astype(np.float32),
            **{_MODEL + name: array.astype(np.float32) for name, array in model.items()},
        }  # fmt: skip

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) correlations, NaN for genes without an embedding, the mean one included.

        Raises
        ------
        CannotRun: not fitted, or no gene of the task was in training.
        """
        m = self.model
        assert task.symbols is not None
        gene, known = places(m["genes"], task.symbols)
        if not known.any():
            raise CannotRun("no gene of the task was in training")
        at, there = places(m["embedded"], task.symbols)
        predictor = {
            name.removeprefix(_MODEL): array for name, array in m.items() if name.startswith(_MODEL)
        }
        predicted = predict(predictor, m["vectors"][at[there]])[:, gene[known]]
        observed = embed(task, m["genes"])[:, gene[known]] - m["usual"][gene[known]]
        scores = np.full((task.n_regimes, task.n_variables), np.nan)
        scores[:, there] = standardised(observed) @ standardised(predicted).T
        return scores


@dataclass(frozen=True, eq=False)
class GenePTStyle(GenePT):
    """Shifts predicted from embeddings of texts, which are made here."""

    dimensions: int = 256

    info: ClassVar[MethodInfo] = MethodInfo(
        name="genept-style",
        summary="Like genept, from TF-IDF embeddings of texts about genes",
        version="2",
        citation="Chen, Zou 2024, GenePT, with embeddings of our own",
        licence="MIT",
        supervised="required",
        stochastic=True,
        needs_symbols=True,
        needs=("gene_text",),
        min_samples=1,
        depends_on_units=True,
        trial=Trial(parameters={"dimensions": 4}),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dimensions < 1:
            raise InvalidParameter(
                f"genept-style: dimensions is at least 1; got {self.dimensions}."
            )

    def embeddings(self, resources: Mapping[str, Path], names: Mapping[str, str]) -> Embeddings:
        texts = read_texts(resources["gene_text"], names)
        return text_embeddings(texts, self.dimensions)


def text_embeddings(texts: Mapping[str, str], dimensions: int) -> Embeddings:
    """TF-IDF of words and pairs of words, reduced by a truncated SVD.

    The name that a text stands under is removed from it first.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    genes = sorted(texts)
    anonymous = [re.sub(rf"\b{re.escape(gene)}\b", " ", texts[gene]) for gene in genes]
    words = TfidfVectorizer(
        sublinear_tf=True, ngram_range=(1, 2), min_df=2, stop_words="english"
    ).fit_transform(anonymous)
    most = min(dimensions, words.shape[1] - 1, len(genes) - 1)
    vectors = (
        TruncatedSVD(most, random_state=0).fit_transform(words) if most > 1 else words.toarray()
    )
    return Embeddings(np.array(genes), vectors.astype(np.float32))
