"""The config file: YAML to validated values. Unknown keys are refused with a suggestion.

pydantic lives here, at the border where files are read; the rest of the code sees the models' attributes.
Relative paths resolve from the config file's folder.
"""

from __future__ import annotations

import os
import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from rag.errors import ConfigError
from rag.mistakes import explain

__all__ = [
    "BenchmarkConfig",
    "CollectionConfig",
    "Config",
    "GateConfig",
    "JudgeConfig",
    "LimitsConfig",
    "PriceConfig",
    "ProviderConfig",
    "RagConfig",
    "ScoringConfig",
    "SettingsConfig",
    "SystemConfig",
    "cache_dir",
    "home_dir",
    "load_config",
]

Money = Annotated[Decimal, BeforeValidator(lambda v: str(v) if isinstance(v, float) else v), Field(ge=0)]
DEFAULT_EMBEDDER = "all-MiniLM-L6-v2"
DEFAULT_PROVIDER = "local:smollm2-135m"


def _variable_name(value: object) -> object:
    # The value is not repeated: someone may have put the key itself here.
    if value is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", str(value)):
        raise ValueError("give the NAME of the environment variable that holds the key, never the key itself")
    return value


def _listed(value: object) -> object:
    return [value] if isinstance(value, dict | JudgeConfig) else value


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)


class PriceConfig(_Section):
    """A price: per million tokens with its date, or per busy hour (shown as an assumption)."""

    input_per_mtok: Money | None = None
    cached_input_per_mtok: Money | None = None
    cache_write_per_mtok: Money | None = None
    output_per_mtok: Money | None = None
    as_of: date | None = None
    usd_per_hour: Money | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> PriceConfig:
        rates = (
            self.input_per_mtok,
            self.output_per_mtok,
            self.cached_input_per_mtok,
            self.cache_write_per_mtok,
        )
        per_token = self.input_per_mtok is not None and self.output_per_mtok is not None
        if any(rate is not None for rate in rates) if self.usd_per_hour is not None else not per_token:
            raise ValueError("give either input_per_mtok and output_per_mtok, or usd_per_hour")
        return self


class ProviderConfig(_Section):
    """A provider that the catalog lacks: a wire format at a base URL."""

    wire: str = "openai"
    base_url: str
    api_key_env: Annotated[str, BeforeValidator(_variable_name)] | None = None
    models: tuple[str, ...] = ()
    price: PriceConfig | None = None


class CollectionConfig(_Section):
    """What a collection is made of and how it is cut. `chunk_tokens: whole` keeps each document whole."""

    sources: tuple[str, ...] = ()
    embedder: str = DEFAULT_EMBEDDER
    chunk_tokens: Annotated[int, Field(ge=16)] | Literal["whole"] = 200
    overlap_tokens: Annotated[int, Field(ge=0)] = 40

    @model_validator(mode="after")
    def _overlap_fits(self) -> CollectionConfig:
        if self.chunk_tokens != "whole" and self.overlap_tokens * 2 > self.chunk_tokens:
            raise ValueError("overlap_tokens must be at most half of chunk_tokens")
        return self


class SettingsConfig(_Section):
    """Sampling settings of a system."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None


class RagConfig(_Section):
    """Which collection a system answers over, and how much of it it sees."""

    collection: str
    k: Annotated[int, Field(ge=1, le=100)] = 6
    mode: Literal["hybrid", "dense", "lexical"] = "hybrid"
    context_tokens: Annotated[int, Field(ge=64)] | None = None


class SystemConfig(_Section):
    """What an evaluation compares: a provider and model with settings, alone or over a collection."""

    name: Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[\w.@:+ -]+$")]
    provider: str | None = None
    runnable: str | None = None
    recorded: Path | None = None
    rag: RagConfig | None = None
    settings: SettingsConfig = SettingsConfig()
    price: PriceConfig | None = None

    @model_validator(mode="after")
    def _one_source(self) -> SystemConfig:
        if sum(x is not None for x in (self.provider, self.runnable, self.recorded)) != 1:
            raise ValueError("give exactly one of provider, runnable, recorded")
        return self


class BenchmarkConfig(_Section):
    """A benchmark, its data and the metrics to report; keys a benchmark does not use are refused by it.

    `max_tokens` lowers that of every system for this benchmark, where short replies are asked for. `subset`
    and `revision` choose among what a hub id holds; benchmarks pin the revisions of the data sets they name.
    `rotations` asks each multiple-choice item with its options in so many orders, `noise` mixes so many
    irrelevant passages in, `prompt` is a template, or the path of one that ends in `.txt`. `rubric` says what
    a judge rates answers by.
    """

    name: str
    benchmark: str | None = None
    data: str | None = None
    split: str | None = None
    subset: str | None = None
    revision: str | None = None
    shots: Annotated[int, Field(ge=0, le=32)] | None = None
    shots_split: str | None = None
    subjects: tuple[str, ...] = ()
    limit: Annotated[int, Field(ge=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    mode: str | None = None
    rotations: Annotated[int, Field(ge=1, le=26)] | None = None
    noise: Annotated[int, Field(ge=0, le=50)] | None = None
    ignore_identical_ids: bool | None = None
    prompt: str | None = None
    rubric: str | None = None
    metrics: tuple[str, ...] = ()


class LimitsConfig(_Section):
    """Bounds of a run. `timeout_s` bounds one attempt, `deadline_s` one sample with all its waits.

    `requests_per_minute` and `tokens_per_minute` hold for each key, beside what its provider's headers say.
    """

    concurrency: Annotated[int, Field(ge=1, le=4096)] = 16
    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    tokens_per_minute: Annotated[int, Field(ge=1)] | None = None
    budget_usd: Money | None = None
    timeout_s: Annotated[float, Field(gt=0)] = 60.0
    deadline_s: Annotated[float, Field(gt=0)] = 900.0
    max_attempts: Annotated[int, Field(ge=1)] = 6
    max_error_rate: Annotated[float, Field(ge=0, le=1)] = 0.1


class JudgeConfig(_Section):
    """A model that judges, where a metric needs one; without a temperature it is asked with 0.

    A reply has room for 1,024 tokens unless `max_tokens` says otherwise.
    """

    provider: str
    settings: SettingsConfig = SettingsConfig()
    price: PriceConfig | None = None


class ScoringConfig(_Section):
    """The local models that metrics use.

    `nli_model` is a cross-encoder of sentence-transformers for natural language inference, by hub name or
    local folder; only `faithfulness_nli` needs one.
    """

    embedder: str = DEFAULT_EMBEDDER
    nli_model: str | None = None


class GateConfig(_Section):
    """A bound on a metric; a run that breaks it exits 3. `system: null` means every system.

    `no_regression_from` names the folder of an earlier run that this one may not be worse than beyond chance.
    """

    system: str | None = None
    min: float | None = None
    max: float | None = None
    no_regression_from: Path | None = None

    @model_validator(mode="after")
    def _bounded(self) -> GateConfig:
        if self.min is None and self.max is None and self.no_regression_from is None:
            raise ValueError("give min, max or no_regression_from")
        return self


class Config(_Section):
    """The whole file; every key is optional. `folder` is where relative paths start from."""

    folder: Annotated[Path, Field(exclude=True)] = Path()
    home: Path | None = None
    providers: dict[str, ProviderConfig] = {}
    collections: dict[str, CollectionConfig] = {}
    default_provider: str = DEFAULT_PROVIDER
    fallback: tuple[str, ...] = ()
    systems: tuple[SystemConfig, ...] = ()
    benchmarks: tuple[BenchmarkConfig, ...] = ()
    limits: LimitsConfig = LimitsConfig()
    judge: Annotated[tuple[JudgeConfig, ...], BeforeValidator(_listed)] = ()
    scoring: ScoringConfig = ScoringConfig()
    gates: dict[str, GateConfig] = {}
    repeats: Annotated[int, Field(ge=1, le=1000)] = 1
    cache: bool | Path = False
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _names_once(self) -> Config:
        for what, names in (
            ("system", [s.name for s in self.systems]),
            ("benchmark", [b.name for b in self.benchmarks]),
            ("judge", [j.provider for j in self.judge]),
        ):
            twice = sorted({n for n in names if names.count(n) > 1})
            if twice:
                raise ValueError(f"{what} {twice[0]!r} is defined twice")
        return self

    def path(self, value: str | Path) -> Path:
        """Return `value` as an absolute path, relative ones taken from the config file's folder."""
        return (self.folder / _expanded(value)).resolve()

    def home_dir(self) -> Path:
        """Where indexes, runs and the embedding cache live: RAGASSAY_HOME, else `home:`, else the default."""
        if self.home is not None and not os.environ.get("RAGASSAY_HOME"):
            return self.path(self.home)
        return home_dir()

    def with_cache(self, on: bool | None) -> Config:
        """Return the config with the reply cache on or off, a named file kept; None changes nothing."""
        if on is None or on is (self.cache is not False):
            return self
        return self.model_copy(update={"cache": on})

    def reply_cache(self) -> Path | None:
        """Return the file that keeps replies: the one named, `replies.sqlite3` in the home, or None.

        Raises:
            ConfigError: it is a folder.
        """
        if self.cache is False:
            return None
        path = self.home_dir() / "replies.sqlite3" if self.cache is True else self.path(self.cache)
        if path.is_dir():
            raise ConfigError(f"cache: {path} is a folder; name a file, or write true for one in the home.")
        return path


def home_dir() -> Path:
    """Return RAGASSAY_HOME, or the platform's folder for user data."""
    return _env_dir("RAGASSAY_HOME", "user_data_path")


def cache_dir() -> Path:
    """Return RAGASSAY_CACHE, or the platform's cache folder: model files and compiled graphs."""
    return _env_dir("RAGASSAY_CACHE", "user_cache_path")


def _expanded(path: str | Path) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as exc:
        raise ConfigError(f"{path}: there is no such user; give the whole path.") from exc


def _env_dir(variable: str, default: str) -> Path:
    given = os.environ.get(variable)
    if given:
        return _expanded(given).resolve()
    import platformdirs

    path: Path = getattr(platformdirs, default)("ragassay", appauthor=False)
    return path


def load_config(path: Path | str | None = None) -> Config:
    """Read a config file; without a path the one RAGASSAY_CONFIG names, else the defaults.

    Raises:
        ConfigError: the file is missing, not YAML, or holds a key or value that cannot be used; names the
            place in the file and the nearest known key.
    """
    path = path or os.environ.get("RAGASSAY_CONFIG") or None
    if path is None:
        return Config(folder=Path.cwd())
    path = _expanded(path)
    return parse_config(_read_yaml(path), folder=path.resolve().parent, where=str(path))


def parse_config(data: dict[str, Any], *, folder: Path, where: str = "config") -> Config:
    """Validate `data`, the content of a config file; relative paths start from `folder`."""
    if "folder" in data:
        raise ConfigError(f"{where}: unknown key 'folder'.")
    try:
        return Config.model_validate({**data, "folder": folder})
    except ValidationError as exc:
        raise ConfigError(f"{where}: {explain(exc, data, _known_keys)}") from exc


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise ConfigError(f"no config file at {path}; the folder configs/ holds examples to copy.") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"cannot read {path}: {exc}.") from exc
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark else ""
        raise ConfigError(
            f"{path} is not valid YAML{place}: {getattr(exc, 'problem', None) or exc}."
        ) from exc
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path} holds a {type(data).__name__} where keys such as 'systems:' are expected.")
    return data


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    sections: dict[str, type[BaseModel]] = {
        "providers": ProviderConfig,
        "collections": CollectionConfig,
        "systems": SystemConfig,
        "benchmarks": BenchmarkConfig,
        "limits": LimitsConfig,
        "judge": JudgeConfig,
        "scoring": ScoringConfig,
        "gates": GateConfig,
        "price": PriceConfig,
        "rag": RagConfig,
        "settings": SettingsConfig,
    }
    for part in reversed(location):
        if part in sections:
            return [*sections[str(part)].model_fields]
    return [name for name in Config.model_fields if name != "folder"]
