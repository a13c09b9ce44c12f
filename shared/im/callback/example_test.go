package callback_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/im/callback/samples"
)

// A rule that refuses a word, and how to try it without IM.
func Example() {
	rules := callback.NewMux()
	callback.Before(rules, "words", callback.FailOpen,
		func(_ context.Context, e *callback.GroupBeforeSendMsg) (v callback.GroupVerdict, err error) {
			if strings.Contains(e.MsgBody.PlainText(), "packet") {
				return v.Reject("please be kind"), nil
			}
			return v, nil
		})
	im, err := callback.NewEndpoint(callback.Config{SDKAppID: 1400000001, Token: "secret of the console", Mux: rules})
	if err != nil {
		fmt.Println(err)
		return
	}
	routes := http.NewServeMux()
	routes.Handle("POST /im", im)

	body, _ := samples.Body("Group.CallbackBeforeSendMsg")
	signer := callback.Signer{SDKAppID: 1400000001, Token: "secret of the console"}
	request, err := signer.Request(context.Background(), "http://localhost/im", "", body)
	if err != nil {
		fmt.Println(err)
		return
	}
	answer := httptest.NewRecorder()
	routes.ServeHTTP(answer, request)
	fmt.Println(answer.Body)
	// Output: {"ActionStatus":"OK","ErrorInfo":"please be kind","ErrorCode":1}
}
