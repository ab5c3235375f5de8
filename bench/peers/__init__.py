"""What Stellwerk is compared with: Celery with Redis, and procrastinate, in an environment of their own."""
