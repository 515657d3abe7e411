"""The configuration of the shop: settings.toml (a linked file) and the environment."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class SettingsError(Exception):
    """A setting is missing or wrong; the message says which, and what to type."""


@dataclass(frozen=True)
class Product:
    """One thing on the shelf; `price` is for one piece, in the shop's currency."""

    id: str
    name: str
    text: str
    price: Decimal


@dataclass(frozen=True)
class Settings:
    """Everything that may differ between two deploys of the same artifact."""

    title: str
    currency: str
    orders: Path
    keep_orders_days: int
    products: Mapping[str, Product]
    stage: str
    secret_key: str = field(repr=False)
    """Signs sessions; may be empty where no web process runs."""


def load(path: Path = ROOT / "settings.toml", environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings of this deploy; raise SettingsError if they are missing or not valid."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SettingsError(
            f"there is no {path}; start with: cp settings.example.toml settings.toml"
        ) from None
    stage = environment.get("SHOP_STAGE", "")
    if not stage:
        raise SettingsError("SHOP_STAGE is not set; it says which stage this is: development, staging, …")
    try:
        values = tomllib.loads(text)
        products = [
            Product(id=item["id"], name=item["name"], text=item["text"], price=Decimal(item["price"]))
            for item in values["products"]
        ]
        return Settings(
            title=values["title"],
            currency=values["currency"],
            orders=Path(environment.get("SHOP_ORDERS") or values["orders"]).expanduser(),
            keep_orders_days=int(values["keep_orders_days"]),
            products={product.id: product for product in products},
            stage=stage,
            secret_key=environment.get("SHOP_SECRET_KEY") or values["secret_key"],
        )
    except KeyError as error:
        raise SettingsError(f"{path}: {error.args[0]} is missing") from error
    except (ArithmeticError, TypeError, ValueError) as error:
        raise SettingsError(f"{path}: {error}") from error
