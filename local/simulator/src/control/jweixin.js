// The JS-SDK's configuration as a page sees it, checked by the simulator that this script came from.
// A text body without a content type of its own needs no preflight.
(function () {
  "use strict";
  var check = new URL("jssdk/check", document.currentScript.src);
  var outcome = null;
  var onReady = [];
  var onError = [];

  function settle(result) {
    outcome = result;
    if (result.ok) onReady.splice(0).forEach(function (callback) { callback(); });
    else onError.forEach(function (callback) { callback({ errMsg: result.errMsg }); });
  }

  window.wx = window.jWeixin = {
    config: function (options) {
      var body = JSON.stringify({
        appId: options.appId,
        timestamp: options.timestamp,
        nonceStr: options.nonceStr,
        signature: options.signature,
        url: location.href.split("#")[0],
      });
      fetch(check, { method: "POST", body: body })
        .then(function (response) { return response.json(); })
        .then(function (answer) {
          settle("ok" in answer ? answer : { ok: false, errMsg: "config:fail, " + answer.error });
        })
        .catch(function (error) { settle({ ok: false, errMsg: "config:fail, " + error.message }); });
    },
    ready: function (callback) {
      if (outcome && outcome.ok) callback();
      else onReady.push(callback);
    },
    error: function (callback) {
      onError.push(callback);
      if (outcome && !outcome.ok) callback({ errMsg: outcome.errMsg });
    },
  };
})();
