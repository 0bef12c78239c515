"""The API under gunicorn: gunicorn --config zun-api.conf.py zun.wsgi.api:application. See docs/how-to/deploy.md."""

bind = "127.0.0.1:9517"
workers = 2
threads = 8
worker_class = "gthread"  # threads: neither eventlet nor gevent, which the service refuses
raw_env = ["OS_ZUN_CONFIG_FILES=/etc/zun/zun.conf"]
# Under a path of the proxy before it: raw_env += ["SCRIPT_NAME=/container"].
graceful_timeout = 30
keepalive = 5
limit_request_line = 8190
limit_request_field_size = 16380
