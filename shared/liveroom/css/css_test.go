package css_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/backchannel-im/backchannel/shared/liveroom/css"
	"github.com/backchannel-im/backchannel/shared/tencentcloud"
)

func TestActive(t *testing.T) {
	var asked map[string]string
	var answer string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = map[string]string{}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		asked["action"], asked["version"] = r.Header.Get("X-TC-Action"), r.Header.Get("X-TC-Version")
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, answer)
	}))
	defer server.Close()
	c := css.Config{Account: tencentcloud.Account{Region: "ap-test", SecretID: "id", SecretKey: "key"}, URL: server.URL, Domain: "push.example.com", App: "live"}
	streams, err := css.New(c)
	if err != nil {
		t.Fatal(err)
	}
	for state, want := range map[string]struct{ active, fails bool }{
		"active": {active: true}, "inactive": {}, "forbid": {}, "sleeping": {fails: true}, "": {fails: true},
	} {
		answer = fmt.Sprintf(`{"Response":{"StreamState":%q,"RequestId":"1"}}`, state)
		got, err := streams.Active(t.Context(), "abc")
		if got != want.active || (err != nil) != want.fails {
			t.Errorf("%q: %v, %v", state, got, err)
		}
	}
	if fmt.Sprint(asked) != fmt.Sprint(map[string]string{"AppName": "live", "DomainName": "push.example.com", "StreamName": "abc", "action": "DescribeLiveStreamState", "version": "2018-08-01"}) {
		t.Errorf("asked %v", asked)
	}
	answer = `{"Response":{"Error":{"Code":"AuthFailure.SignatureFailure","Message":"no"},"RequestId":"1"}}`
	if _, err := streams.Active(t.Context(), "abc"); err == nil {
		t.Error("a refusal is no error")
	}
	c.Domain = ""
	if _, err := css.New(c); err == nil {
		t.Error("a configuration without a domain is accepted")
	}
}
