"""For WSGI servers: `zun.wsgi.api:application`."""
