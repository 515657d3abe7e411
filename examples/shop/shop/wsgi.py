"""The web application: `gunicorn shop.wsgi:app`, or `flask --app shop.wsgi run`."""

from flask import Flask, session
from flask_wtf import CSRFProtect
from whitenoise import WhiteNoise

from shop import assets, release, settings
from shop.views import pages


def create_app() -> Flask:
    """Read the settings, the release and the asset manifest once, and put the application together."""
    shop = settings.load()
    if not shop.secret_key:
        raise settings.SettingsError("there is no secret_key; make one with: openssl rand -hex 32")
    running = release.running()
    compiled = assets.load()

    app = Flask("shop")
    app.config.update(
        SECRET_KEY=shop.secret_key,
        SESSION_COOKIE_SAMESITE="Lax",
        WTF_CSRF_SSL_STRICT=False,
        SHOP=shop,
        RELEASE=running,
    )
    CSRFProtect(app)
    app.register_blueprint(pages)
    app.context_processor(
        lambda: {
            "shop": shop,
            "release": running,
            "assets": compiled,
            "pieces": sum(session.get("cart", {}).values()),
        }
    )
    app.wsgi_app = WhiteNoise(  # type: ignore[method-assign]
        app.wsgi_app, root=assets.STATIC, prefix="static/", immutable_file_test=assets.is_immutable
    )
    return app


app = create_app()
