"""The cart: how many of which product, kept in the signed session."""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from shop.settings import Product

MOST = 99
"""The most pieces of one product in a cart."""


@dataclass(frozen=True)
class Line:
    """One product in the cart."""

    product: Product
    quantity: int

    @property
    def total(self) -> Decimal:
        return self.product.price * self.quantity


def lines(session: Mapping[str, Any], products: Mapping[str, Product]) -> list[Line]:
    """What is in the cart; a product that is no longer sold drops out."""
    cart = session.get("cart", {})
    return [Line(products[id_], quantity) for id_, quantity in cart.items() if id_ in products]


def put(session: MutableMapping[str, Any], product: Product, quantity: int) -> None:
    """Set how many of `product` are in the cart; none or fewer takes it out."""
    cart = dict(session.get("cart", {}))
    cart.pop(product.id, None)
    if quantity > 0:
        cart[product.id] = min(quantity, MOST)
    session["cart"] = cart


def add(session: MutableMapping[str, Any], product: Product) -> None:
    """Put one more of `product` into the cart."""
    put(session, product, session.get("cart", {}).get(product.id, 0) + 1)


def total(cart: list[Line]) -> Decimal:
    """The price of the whole cart."""
    return sum((line.total for line in cart), Decimal("0.00"))
