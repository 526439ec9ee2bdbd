"""A vLLM in miniature: its ways to build a parser, each in a few lines."""

import textwrap
from collections.abc import Mapping
from pathlib import Path

ARG_UTILS = """
    import argparse
    import json
    import sys
    from dataclasses import MISSING, dataclass, fields, is_dataclass
    from types import UnionType
    from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

    from pydantic import TypeAdapter
    from pydantic.fields import FieldInfo

    from vllm.config import CacheConfig, ModelConfig, get_attr_docs
    from vllm.utils.argparse_utils import human_readable_int, human_readable_int_or_auto

    if TYPE_CHECKING:
        from vllm.outer import Executor
    else:
        Executor = Any


    def parse_type(return_type):
        def _parse_type(val):
            return return_type(val)
        return _parse_type


    def optional_type(return_type):
        def _optional_type(val):
            if val == "" or val == "None":
                return None
            return parse_type(return_type)(val)
        return _optional_type


    def contains(hints, type):
        return any(hint is type or get_origin(hint) is type for hint in hints)


    def get(hints, type):
        return next((hint for hint in hints if hint is type or get_origin(hint) is type), None)


    def literal_to_kwargs(hints):
        options = get_args(get(hints, Literal))
        kwarg = "metavar" if contains(hints, str) else "choices"
        return {"type": type(options[0]), kwarg: sorted(options)}


    def get_type_hints(hint):
        hints = set()
        if get_origin(hint) is Annotated:
            hints.update(get_type_hints(get_args(hint)[0]))
        elif get_origin(hint) in {Union, UnionType}:
            for arg in get_args(hint):
                hints.update(get_type_hints(arg))
        else:
            hints.add(hint)
        return hints


    def _compute_kwargs(cls):
        docs = get_attr_docs(cls)
        kwargs = {}
        for field in fields(cls):
            hints = get_type_hints(field.type)
            dataclass_cls = next((hint for hint in hints if is_dataclass(hint)), None)
            if field.default is not MISSING:
                default = field.default
                if isinstance(default, FieldInfo):
                    default = default.default if default.default_factory is None else default.default_factory()
            elif field.default_factory is not MISSING:
                default = field.default_factory()
            name = field.name
            kwargs[name] = {"default": default, "help": docs[name].strip()}
            if dataclass_cls is not None:
                def parse_dataclass(val, cls=dataclass_cls):
                    return TypeAdapter(cls).validate_json(val)
                kwargs[name]["type"] = parse_dataclass
            elif hints == {bool, str, type(None)}:
                kwargs[name].update({"type": str, "nargs": "?", "const": True})
            elif contains(hints, bool):
                kwargs[name]["action"] = argparse.BooleanOptionalAction
            elif contains(hints, Literal):
                kwargs[name].update(literal_to_kwargs(hints))
            elif contains(hints, list):
                kwargs[name].update({"type": get_args(get(hints, list))[0], "nargs": "+"})
            elif contains(hints, int):
                kwargs[name]["type"] = human_readable_int_or_auto if name == "max_model_len" else int
            elif contains(hints, float):
                kwargs[name]["type"] = float
            elif contains(hints, dict):
                kwargs[name]["type"] = parse_type(json.loads)
            elif contains(hints, str) or any(hint.__module__ != "builtins" for hint in hints):
                kwargs[name]["type"] = str
            else:
                raise ValueError(f"Unsupported type {hints}")
            if get_origin(kwargs[name].get("type")) is Literal:
                kwargs[name].update(literal_to_kwargs({kwargs[name]["type"]}))
            if type(None) in hints and not contains(hints, bool):
                kwargs[name]["type"] = optional_type(kwargs[name]["type"])
        return kwargs


    def get_kwargs(cls):
        return _compute_kwargs(cls)


    @dataclass
    class EngineArgs:
        model: str = ModelConfig.model
        eager: bool = not ModelConfig.fast

        @staticmethod
        def add_cli_args(parser):
            model_kwargs = get_kwargs(ModelConfig)
            group = parser.add_argument_group(title="ModelConfig", description=ModelConfig.__doc__)
            if not ("serve" in sys.argv[1:] and "--help" in sys.argv[1:]):
                group.add_argument("--model", **model_kwargs["model"])
            group.add_argument("--quantization", "-q", **model_kwargs["quantization"])
            for key, value in get_kwargs(CacheConfig).items():
                group.add_argument(f"--{key.replace('_', '-')}", **value)
            cache_kwargs = get_kwargs(CacheConfig)
            cache_kwargs["levels"]["choices"].remove("hidden")
            group.add_argument("--other-levels", **{**cache_kwargs["levels"], "default": None})
            return parser


    class AsyncEngineArgs(EngineArgs):
        @staticmethod
        def add_cli_args(parser, async_args_only=False):
            if not async_args_only:
                parser = EngineArgs.add_cli_args(parser)
            parser.add_argument("--disable-log-requests", action="store_true", help="Quiet.")
            return parser
"""

FILES = {
    "vllm/__init__.py": "",
    "vllm/outer.py": "class Executor: ...",
    "vllm/config/__init__.py": """
        from .cache import CacheConfig
        from .model import ModelConfig, get_attr_docs
    """,
    "vllm/config/model.py": '''
        import torch
        from vllm.config.utils import config
        from vllm.model_executor.layers.quantization import QuantizationMethods

        def get_attr_docs(cls):
            raise NotImplementedError

        @config
        class ModelConfig:
            """The model."""
            model: str = "some/model"
            """Which model."""
            fast: bool = False
            """Fast."""
            quantization: QuantizationMethods | str | None = None
            """How the weights are quantised."""
    ''',
    "vllm/config/utils.py": "def config(cls): return cls",
    "vllm/config/names.py": """
        from typing import Literal
        Levels = Literal["low", "high", "hidden"]
        __all__ = ["Levels"]
    """,
    "vllm/config/cache.py": '''
        from dataclasses import InitVar, field
        from enum import Enum
        from typing import Any, ClassVar, Literal, Optional, Union
        import torch
        from pydantic import Field, SkipValidation, field_validator
        from vllm.config.utils import config
        from .names import *

        Size = Literal[8, 16]

        class Backend(Enum):
            FAST_ONE = "a.b"
            SLOW = "a.c"

        @config
        class Inner:
            depth: int = 1

        @config
        class Base:
            share: float = Field(default=0.9, gt=0, le=1)
            """How much."""

        @config
        class CacheConfig(Base):
            registry: ClassVar[dict] = {}
            extra: InitVar[int] = 3
            max_model_len: Optional[int] = None
            """Longest."""
            size: Optional[Size] = None
            """[DEPRECATED] Use --other."""
            levels: Levels = "low"
            """Levels."""
            parts: list[Size] = field(default_factory=lambda: [8])
            """Parts."""
            names: Optional[list[str]] = None
            """Names."""
            caching: Optional[bool] = None
            """Caching."""
            token: bool | str | None = None
            """Token."""
            inner: Inner = field(default_factory=Inner)
            """Inner."""
            more: dict[str, Any] = field(default_factory=dict)
            """More."""
            dtype: SkipValidation[Union[str, torch.dtype]] = "auto"
            """Type."""
            backend: Backend | None = None
            """Backend."""
            mode: Literal["slow", "auto"] | str = "auto"
            """Mode."""

            @field_validator("backend", mode="before")
            @classmethod
            def read(cls, value):
                return Backend[value.upper()]
    ''',
    "vllm/model_executor/__init__.py": "",
    "vllm/model_executor/layers/__init__.py": "",
    "vllm/model_executor/layers/quantization/__init__.py": """
        from typing import Literal, get_args
        QuantizationMethods = Literal["gptq", "awq"]
        QUANTIZATION_METHODS: list[str] = list(get_args(QuantizationMethods))
    """,
    "vllm/utils/__init__.py": "",
    "vllm/utils/argparse_utils.py": """
        import re
        from argparse import ArgumentParser, BooleanOptionalAction

        class EnableDisableAction(BooleanOptionalAction): ...

        class FlexibleArgumentParser(ArgumentParser):
            def __init__(self):
                self.register("action", BooleanOptionalAction, EnableDisableAction)

        def human_readable_int(value):
            multiplier = {"k": 10**3, "K": 2**10}
            return int(value)

        def human_readable_int_or_auto(value):
            return -1 if value == "auto" else human_readable_int(value)
    """,
    "vllm/engine/__init__.py": "",
    "vllm/engine/arg_utils.py": ARG_UTILS,
    "vllm/tool_parsers/__init__.py": """
        from .abstract import ToolParserManager
        from .hermes import HermesParser

        _LAZY = {"mistral": ("file", "Class")}

        def register_lazy():
            for name, (file_name, class_name) in _LAZY.items():
                ToolParserManager.register_lazy_module(name, f"x.{file_name}", class_name)

        register_lazy()
    """,
    "vllm/tool_parsers/abstract.py": """
        class ToolParserManager:
            parsers: dict = {}
            lazy: dict = {}

            @classmethod
            def register_lazy_module(cls, name, path, class_name):
                cls.lazy[name] = (path, class_name)

            @classmethod
            def register_module(cls, name=None):
                def _register(module):
                    for item in [name] if isinstance(name, str) else name:
                        cls.parsers[item] = module
                    return module
                return _register

            @classmethod
            def list_registered(cls):
                return sorted(set(cls.parsers.keys()) | set(cls.lazy.keys()))
    """,
    "vllm/tool_parsers/hermes.py": """
        from .abstract import ToolParserManager

        @ToolParserManager.register_module(["hermes", "nous"])
        class HermesParser: ...
    """,
    "vllm/entrypoints/__init__.py": "",
    "vllm/entrypoints/cli/__init__.py": "",
    "vllm/entrypoints/cli/serve.py": "from vllm.entrypoints.openai.cli_args import make_arg_parser",
    "vllm/entrypoints/openai/__init__.py": "",
    "vllm/entrypoints/openai/cli_args.py": """
        import json
        import ssl
        import argparse
        import vllm.envs as envs
        from typing import Literal
        from vllm.config.utils import config
        from vllm.engine.arg_utils import AsyncEngineArgs, get_kwargs, optional_type

        class LoRAParserAction(argparse.Action): ...

        @config
        class BaseFrontendArgs:
            origins: list[str] = ["*"]
            tool_call_parser: str | None = None
            log_file: str | None = envs.VLLM_LOG_FILE
            modules: list[str] | None = None

            @classmethod
            def _customize(cls, kwargs):
                kwargs["origins"]["type"] = json.loads
                del kwargs["origins"]["nargs"]
                return kwargs

            @classmethod
            def add_cli_args(cls, parser):
                kwargs = cls._customize(get_kwargs(cls))
                group = parser.add_argument_group(title=cls.__name__.replace("Args", ""), description=cls.__doc__)
                for key, value in kwargs.items():
                    group.add_argument(f"--{key.replace('_', '-')}", **value)
                return parser

        @config
        class FrontendArgs(BaseFrontendArgs):
            port: int = 8000

            @classmethod
            def _customize(cls, kwargs):
                kwargs = super()._customize(kwargs)
                kwargs["modules"].update(type=optional_type(str), action=LoRAParserAction)
                return kwargs

        def make_arg_parser(parser):
            parser.add_argument("model_tag", type=str, nargs="?", help="The model.")
            parser.add_argument("--level", "--log-level", "-l", choices=["info", "debug"], default="info")
            parser.add_argument("--cert-reqs", type=int, default=int(ssl.CERT_NONE))
            parser.add_argument("--hook", type=str, action="append", default=[])
            parser.add_argument("--enable-lora", action=argparse.BooleanOptionalAction, help="LoRA.")
            parser.add_argument("--old", type=int, deprecated=True, help="Does nothing.")
            parser.add_argument("--spec", type=json.loads, default=None)
            parser = FrontendArgs.add_cli_args(parser)
            return AsyncEngineArgs.add_cli_args(parser)
    """,
    "vllm-9.9.9.dist-info/METADATA": "Metadata-Version: 2.1\nName: vllm\nVersion: 9.9.9\n",
}


def write(directory: Path, changes: Mapping[str, str | tuple[str, str]] | None = None) -> Path:
    """The package in `directory`; a change is a file's new text, or a pair of what to replace in it and by what."""
    files = dict(FILES)
    for name, change in (changes or {}).items():
        if isinstance(change, str):
            files[name] = change
        else:
            assert change[0] in files[name]
            files[name] = files[name].replace(*change)
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), "utf-8")
    return directory
