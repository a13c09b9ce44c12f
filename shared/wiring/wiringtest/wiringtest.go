// Package wiringtest is what the tests of functions share: settings of their
// own, and requests as IM, a server or a browser sends them.
package wiringtest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/callback"
)

// The values that the functions under test get.
const (
	AppID  = 1400009999
	Secret = "wiringtest-secret-of-its-own-0123456789abcdef0123456789abcdef012"
	Token  = "wiringtest-token"
	Key    = "wiringtest-api-key"

	VirgilAppID = "71726e0c2f1b4d6b8a3c5d7e9f012345"
	VirgilKeyID = "1ca1a673ebf98e3d"
	VirgilKey   = "MC4CAQAwBQYDK2VwBCIEIF//+a+jWM7bwMWcSJgBFiB8OQ/bT5qrQlfq7heFXqxu"
)

// Settings returns the settings of a function, with those given added or
// changed. {dir} in a value becomes a fresh folder.
func Settings(more map[string]string) map[string]string {
	sum := sha256.Sum256([]byte(Key))
	env := map[string]string{
		"SDK_APP_ID":     fmt.Sprint(AppID),
		"SECRET":         Secret,
		"CALLBACK_TOKEN": Token,
		"API_KEYS":       "test:" + hex.EncodeToString(sum[:]),
		"USERSIG_MODE":   "server",

		"VIRGIL_APP_ID":     VirgilAppID,
		"VIRGIL_APP_KEY_ID": VirgilKeyID,
		"VIRGIL_APP_KEY":    VirgilKey,
	}
	for name, value := range more {
		env[name] = value
	}
	return env
}

// Signer signs callbacks as IM does for these settings.
func Signer() callback.Signer { return callback.Signer{SDKAppID: AppID, Token: Token} }

// Callback returns a signed callback with this body.
func Callback(t testing.TB, body string) *http.Request {
	t.Helper()
	return SignedBy(t, Signer(), body)
}

// SignedBy is Callback with a signer of the test's choice.
func SignedBy(t testing.TB, s callback.Signer, body string) *http.Request {
	t.Helper()
	r, err := s.Request(t.Context(), "http://function.invalid/im", "", []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// BeforeSend is the body of the before-callback of alice's message in the room
// "lobby".
func BeforeSend(text string) string {
	return fmt.Sprintf(`{"CallbackCommand":"Group.CallbackBeforeSendMsg","GroupId":"lobby","Type":"AVChatRoom","From_Account":"alice","Operator_Account":"alice","Random":1,"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":%q}}]}`, text)
}

// AfterSend is the body of the after-callback of a user's message with this MsgSeq in
// the room "lobby", delivered just now.
func AfterSend(userID string, seq int) string {
	return fmt.Sprintf(`{"CallbackCommand":"Group.CallbackAfterSendMsg","GroupId":"lobby","Type":"AVChatRoom","From_Account":%q,"Operator_Account":%q,"Random":%d,"MsgSeq":%d,"MsgTime":%d,"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"hello"}}]}`,
		userID, userID, seq, seq, time.Now().Unix())
}

// Post returns a request with a JSON body, from a server if key is not "".
func Post(path, key, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return authorized(r, key)
}

// Get returns a GET request, from a server if key is not "".
func Get(path, key string) *http.Request {
	return authorized(httptest.NewRequest(http.MethodGet, path, nil), key)
}

func authorized(r *http.Request, key string) *http.Request {
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	return r
}

// Answer is a response, read.
type Answer struct {
	Status int
	Text   string
	JSON   map[string]any // nil if it is no JSON object
}

// Read reads a response to its end.
func Read(t testing.TB, res *http.Response) Answer {
	t.Helper()
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := Answer{Status: res.StatusCode, Text: string(b)}
	if json.Unmarshal(b, &a.JSON) != nil {
		a.JSON = nil
	}
	return a
}

// WantCode fails the test unless the answer is IM's envelope with this
// ErrorCode.
func (a Answer) WantCode(t testing.TB, code int) {
	t.Helper()
	if a.Status != http.StatusOK || a.JSON["ErrorCode"] != float64(code) {
		t.Errorf("answered %d %s, want ErrorCode %d", a.Status, a.Text, code)
	}
}
