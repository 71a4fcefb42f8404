"""Points an SDK that has no setting for the API's host at the bundle: an adapter for its `requests` session."""

from requests.adapters import HTTPAdapter


class ToBundle(HTTPAdapter):
    """Sends what is meant for api.weixin.qq.com to the bundle."""

    def __init__(self, bundle):
        super().__init__()
        self.bundle = bundle

    def send(self, request, **options):
        request.url = self.bundle + request.path_url
        return super().send(request, **options)
