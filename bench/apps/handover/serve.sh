# Serve with $SERVER at a port, or (handover: beside) at a unix socket.
case $SERVER in
wsgi)
    exec gunicorn --bind "${FAP_BIND:-127.0.0.1:$PORT}" --workers 2 --threads 16 --no-control-socket \
        "$@" slow.wsgi:app
    ;;
asgi)
    case ${FAP_BIND:-} in
    unix:*) set -- --uds "$PORT" ;;
    *) set -- --host 127.0.0.1 --port "$PORT" ;;
    esac
    exec uvicorn --no-access-log "$@" slow.asgi:app
    ;;
esac
