// The viewer of the API's description. Calls from it use the session of this browser, or an API token.
const place = document.getElementById("api");

function withCsrfToken(request) {
  const cookie = document.cookie.split("; ").find((each) => each.startsWith("csrftoken="));
  if (cookie && new URL(request.url, location.href).origin === location.origin) {
    request.headers["X-CSRFToken"] = decodeURIComponent(cookie.slice("csrftoken=".length));
  }
  return request;
}

SwaggerUIBundle({
  url: place.dataset.document,
  domNode: place,
  deepLinking: true,
  validatorUrl: null,
  requestInterceptor: withCsrfToken,
});
