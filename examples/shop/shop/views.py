"""The pages."""

import time

from flask import Blueprint, abort, current_app, flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from shop import cart, orders
from shop.settings import Product, Settings

pages = Blueprint("pages", __name__)


@pages.get("/")
def shelf() -> ResponseReturnValue:
    return render_template("shelf.html", products=_settings().products.values())


@pages.get("/cart")
def show_cart() -> ResponseReturnValue:
    lines = cart.lines(session, _settings().products)
    return render_template("cart.html", lines=lines, total=cart.total(lines))


@pages.post("/cart/<product_id>")
def change_cart(product_id: str) -> ResponseReturnValue:
    product = _product(product_id)
    if "quantity" in request.form:
        cart.put(session, product, request.form.get("quantity", 0, type=int))
    else:
        cart.add(session, product)
    return redirect(url_for("pages.show_cart"), code=303)


@pages.post("/order")
def order() -> ResponseReturnValue:
    lines = cart.lines(session, _settings().products)
    if lines:
        order_id = orders.place(_settings().orders, lines, time.time())
        session.pop("cart")
        flash(f"Thank you. Order {order_id} is being packed.")
    return redirect(url_for("pages.shelf"), code=303)


@pages.get("/health")
def health() -> ResponseReturnValue:
    """For health checks: this process answers, and says which release it runs."""
    release = current_app.config["RELEASE"]
    body = {"status": "ok", "version": release.version, "commit": release.commit}
    return body, 200, {"Cache-Control": "no-store"}


def _settings() -> Settings:
    return current_app.config["SHOP"]  # type: ignore[no-any-return]


def _product(product_id: str) -> Product:
    product = _settings().products.get(product_id)
    if product is None:
        abort(404)
    return product
