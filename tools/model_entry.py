"""Makes an entry of the catalog's models from a model's config.json.

`python -m tools.model_entry ID CONFIG --license NAME --source TEXT --date YYYY-MM-DD` prints the entry, to be put into
a file of `gke_llm_inference/catalog/models/`. `--index` names the checkpoint's model.safetensors.index.json and
`--tokenizer` its tokenizer_config.json, which says whether there is a chat template; `--total` states what the model's
page says of its parameters. Where the count and the total differ by more than 1 %, nothing is printed.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import yaml

from gke_llm_inference.catalog.facts import DTYPE_BYTES, Dtype
from gke_llm_inference.catalog.model_facts import Model, Task
from gke_llm_inference.settings import ArchitectureSettings, Refusal
from gke_llm_inference.settings.model_config import architecture_of, weight_counts

ENCODERS = ("bert", "xlm-roberta")
"""Encoders whose parameters are counted, by model_type."""
MOST_DIFFERENCE = 0.01
"""Share by which a published total may differ from the count."""
# Norms and biases alone are no more than this share of a model's parameters: quantization leaves more alone in none.
_LITTLE = 0.001
# Table of positions: XLM-RoBERTa's begins with the padding token's.
_ROBERTA_OFFSET = 2
_PATH = "config.json"
_WIDTH = 1000
# What YAML writes behind a document that is one word.
_END = "...\n"


def entry_of(
    config: Mapping[str, Any],
    *,
    license_name: str | None,
    gated: bool,
    chat_template: bool | None,
    source: str,
    date: str,
    task: Task = "generate",
    total: int | None = None,
) -> dict[str, Any]:
    """The entry of a model, as the catalog's files spell it.

    Args:
        config: the keys of its config.json.
        license_name: the license as the model's page names it; None where that is not known.
        gated: whether its files need a token.
        chat_template: whether its tokenizer has a chat template; None where that is not known.
        source: where the config.json is from.
        date: when it was read.
        task: what the model is for.
        total: parameters of the checkpoint, where they are known.

    Raises:
        Refusal: the config.json is not one that can be planned.
        ValueError: the parameters that are counted are not those of the checkpoint.

    """
    if config.get("model_type") in ENCODERS:
        numbers = _encoder(config)
    elif task == "generate":
        numbers = _decoder(config)
    else:
        # A server that pools has no output layer, and the checkpoint holds none.
        numbers = _decoder({**config, "architectures": ["ForCausalLM"], "tie_word_embeddings": True})
    numbers |= _unloaded(numbers, total)
    counted = numbers["parameters"] + numbers.get("unloadedParameters", 0)
    if total is not None and abs(counted - total) > MOST_DIFFERENCE * total:
        raise ValueError(f"{counted:,} parameters are counted, and the checkpoint has {total:,}")
    entry = {
        "source": source,
        "date": date,
        **numbers,
        "task": task,
        "loadedAs": config["architectures"][0],
        "license": license_name,
        "gated": gated,
        "chatTemplate": chat_template,
    }
    model = Model.model_validate(entry)
    described = model.model_dump(by_alias=True, exclude_defaults=True, mode="json")
    always = ("license", "chatTemplate", "dtype", "tiedEmbeddings")
    described |= {name: entry[name] for name in always if name in entry}
    return {name: described[name] for name in _order() if name in described}


def _order() -> list[str]:
    """Names of an entry in the order in which they are read: what it is, then its numbers."""
    names = [field.alias or name for name, field in Model.model_fields.items()]
    first = (
        "source",
        "date",
        "family",
        "task",
        "loadedAs",
        "license",
        "gated",
        "chatTemplate",
        "checkpoint",
        "blockwise",
    )
    return [*first, "parameters", "activeParameters", *(name for name in names if name not in first)]


def _decoder(config: Mapping[str, Any]) -> dict[str, Any]:
    found: ArchitectureSettings = architecture_of(config, _PATH)
    counts = weight_counts(config)
    numbers = found.model_dump(by_alias=True, exclude_none=True, mode="json")
    names = {field.alias or name for name, field in Model.model_fields.items()}
    numbers = {name: value for name, value in numbers.items() if name in names and name != "gated"}
    if found.unquantized_parameters < _LITTLE * found.parameters:
        del numbers["unquantizedParameters"]
    numbers["blockwise"] = found.checkpoint_blockwise
    if found.experts:
        numbers["activeParameters"] = counts.active
    return numbers


def _encoder(config: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers of BERT and XLM-RoBERTa: biases everywhere, two norms a layer, three tables, and a pooler or a head."""
    hidden, width, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    roberta = config["model_type"] == "xlm-roberta"
    tables = config["vocab_size"] + config["max_position_embeddings"] + config["type_vocab_size"]
    layer = 4 * (hidden * hidden + hidden) + 2 * hidden * width + width + hidden + 4 * hidden
    top = hidden * hidden + hidden
    if config["architectures"][0].endswith("ForSequenceClassification"):
        top += hidden + 1
    dtype: Dtype = next(known for known in get_args(Dtype) if known == config["torch_dtype"])
    return {
        "family": "xlm-roberta" if roberta else "bert",
        "parameters": tables * hidden + 2 * hidden + layers * layer + top,
        "dtype": dtype,
        "layers": layers,
        "hiddenSize": hidden,
        "intermediateSize": width,
        "attentionHeads": config["num_attention_heads"],
        "kvHeads": config["num_attention_heads"],
        "headDim": hidden // config["num_attention_heads"],
        "vocabSize": config["vocab_size"],
        "maxPositions": config["max_position_embeddings"] - (_ROBERTA_OFFSET if roberta else 0),
        "tiedEmbeddings": True,
        "encoderOnly": True,
    }


def _unloaded(numbers: Mapping[str, Any], total: int | None) -> dict[str, int]:
    """The copy of a tied output layer that some checkpoints hold and no server loads."""
    copy: int = numbers["vocabSize"] * numbers["hiddenSize"]
    if total is not None and numbers["tiedEmbeddings"] and total - numbers["parameters"] == copy:
        return {"unloadedParameters": copy}
    return {}


def indexed_total(index: Mapping[str, Any], config: Mapping[str, Any]) -> int:
    """Parameters of a checkpoint at its own precision, from the bytes that its index states."""
    dtype: Dtype = next(
        (known for known in get_args(Dtype) if known == (config.get("dtype") or config.get("torch_dtype"))), "bfloat16"
    )
    size: int = index["metadata"]["total_size"]
    return size // DTYPE_BYTES[dtype]


def has_chat_template(tokenizer: Mapping[str, Any], beside: Path) -> bool:
    """Whether a tokenizer has a chat template: in tokenizer_config.json, or in a file beside it."""
    return bool(tokenizer.get("chat_template")) or (beside / "chat_template.jinja").exists()


def rendered(name: str, entry: Mapping[str, Any]) -> str:
    """An entry as YAML, with what lies within a value on its line."""
    lines = [f"  {name}:\n"]
    for key, value in entry.items():
        text = yaml.safe_dump(value, default_flow_style=True, width=_WIDTH, allow_unicode=True)
        lines.append(f"    {key}: {text.removesuffix(_END).rstrip()}\n")
    return "".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Command-line entry point."""
    parser = argparse.ArgumentParser(description="Print a catalog entry of a model's config.json.")
    parser.add_argument("id", help="Hugging Face id")
    parser.add_argument("config", type=Path, help="the model's config.json")
    parser.add_argument("--index", type=Path, help="its model.safetensors.index.json")
    parser.add_argument("--tokenizer", type=Path, help="its tokenizer_config.json")
    parser.add_argument("--total", type=int, help="parameters that its page states")
    parser.add_argument("--license", required=True, help="the license as its page names it")
    parser.add_argument("--gated", action="store_true", help="its page asks to accept the license")
    parser.add_argument("--task", choices=get_args(Task), default="generate")
    parser.add_argument("--source", required=True, help="where the config.json is from")
    parser.add_argument("--date", required=True, help="when it was read")
    given = parser.parse_args(arguments)
    config = json.loads(given.config.read_text("utf-8"))
    total = given.total
    if given.index is not None:
        total = indexed_total(json.loads(given.index.read_text("utf-8")), config)
    template = None
    if given.tokenizer is not None:
        template = has_chat_template(json.loads(given.tokenizer.read_text("utf-8")), given.tokenizer.parent)
    try:
        entry = entry_of(
            config,
            license_name=given.license,
            gated=given.gated,
            chat_template=template,
            source=given.source,
            date=given.date,
            task=given.task,
            total=total,
        )
    except Refusal as refusal:
        sys.stderr.writelines(f"{problem.what}: {problem.why}\n" for problem in refusal.problems)
        return 1
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(rendered(given.id, entry))
    return 0


if __name__ == "__main__":
    sys.exit(main())
