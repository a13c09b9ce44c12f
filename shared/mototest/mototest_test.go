package mototest_test

import (
	"net/http"
	"testing"

	"github.com/backchannel-im/backchannel/shared/mototest"
)

func TestStart(t *testing.T) {
	url := mototest.Start(t)
	res, err := http.Get(url + "/moto-api/data.json")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("status %d", res.StatusCode)
	}
	if again := mototest.Start(t); again != url {
		t.Errorf("a second server at %s", again)
	}
}
