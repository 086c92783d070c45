"""Exit status 0 if the service in this container is ready, else 1 and the reason on one line."""

import os
import sys
import urllib.request

try:
    url = f"http://127.0.0.1:{os.environ['SWIN_PORT']}/health/ready"
    urllib.request.urlopen(url, timeout=2).close()
except OSError as error:
    sys.exit(f"not ready: {error}")
