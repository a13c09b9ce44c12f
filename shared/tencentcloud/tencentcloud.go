// Package tencentcloud calls the API 3.0 of Tencent Cloud's services, by the generic
// client of their SDK: the products' own modules add megabytes to a binary. Adapters
// use this package; rules do not.
package tencentcloud

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tcerr "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
)

// Account is the caller's credentials and region.
type Account struct {
	Region, SecretID, SecretKey string
	Token                       string // of temporary credentials, otherwise ""
}

// FromEnvironment returns the account whose values SCF puts into the environment
// of a function with an execution role.
func FromEnvironment() (Account, error) {
	a := Account{
		Region: os.Getenv("TENCENTCLOUD_REGION"), SecretID: os.Getenv("TENCENTCLOUD_SECRETID"),
		SecretKey: os.Getenv("TENCENTCLOUD_SECRETKEY"), Token: os.Getenv("TENCENTCLOUD_SESSIONTOKEN"),
	}
	if a.Region == "" || a.SecretID == "" || a.SecretKey == "" {
		return Account{}, errors.New("TENCENTCLOUD_REGION, TENCENTCLOUD_SECRETID and TENCENTCLOUD_SECRETKEY are not set; SCF sets them for a function with an execution role")
	}
	return a, nil
}

// Options name the service to call.
type Options struct {
	Service, Version string        // such as "tms" and "2020-12-29"
	Endpoint         string        // http or https URL; "" is the service's own
	Timeout          time.Duration // of one call, at least a second; a context may end it earlier
}

// Service is one service, for one account. It is safe for concurrent use.
type Service struct {
	client           *common.Client
	service, version string
}

// New returns a service. It calls nothing.
func New(a Account, o Options) (*Service, error) {
	use := profile.NewClientProfile()
	use.HttpProfile.ReqTimeout = int(max(o.Timeout, time.Second).Seconds())
	if o.Endpoint != "" {
		u, err := url.Parse(o.Endpoint)
		if err != nil || u.Host == "" {
			return nil, errors.New("the endpoint is no URL")
		}
		use.HttpProfile.Scheme, use.HttpProfile.Endpoint = strings.ToUpper(u.Scheme), u.Host
	}
	credential := common.NewTokenCredential(a.SecretID, a.SecretKey, a.Token)
	return &Service{common.NewCommonClient(credential, a.Region, use), o.Service, o.Version}, nil
}

// Call carries out an action and decodes what is in its Response into answer,
// unless that is nil. It tries once. An error is an *Error, or that of ctx.
func (s *Service) Call(ctx context.Context, action string, parameters map[string]any, answer any) error {
	request := tchttp.NewCommonRequest(s.service, s.version, action)
	request.SetContext(ctx)
	if err := request.SetActionParameters(parameters); err != nil {
		return &Error{Code: "ClientError.Parameters", cause: err}
	}
	response := tchttp.NewCommonResponse()
	if err := s.client.Send(request, response); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return errorOf(err)
	}
	if answer == nil {
		return nil
	}
	envelope := struct{ Response any }{answer}
	if json.Unmarshal(response.GetBody(), &envelope) != nil {
		return &Error{Code: "ClientError.Answer", cause: errors.New("the answer has another form than documented")}
	}
	return nil
}

// Error is why a call failed. Its text quotes neither request nor answer, as the
// SDK's own does.
type Error struct {
	Code      string // the service's, or ClientError and more where it was not reached
	RequestID string // "" where the service was not reached
	cause     error
}

func (e *Error) Error() string {
	switch {
	case e.cause != nil:
		return e.Code + ": " + e.cause.Error()
	case e.RequestID != "":
		return e.Code + " (request " + e.RequestID + ")"
	}
	return e.Code
}

func (e *Error) Unwrap() error { return e.cause }

// Passing reports whether a retry may succeed: after a failure of the network or the
// platform, or too many calls.
func (e *Error) Passing() bool {
	for _, kind := range []string{"ClientError", "InternalError", "RequestLimitExceeded", "LimitExceeded"} {
		if strings.HasPrefix(e.Code, kind) {
			return true
		}
	}
	return false
}

func errorOf(err error) *Error {
	if fault, is := errors.AsType[*tcerr.TencentCloudSDKError](err); is {
		return &Error{Code: fault.Code, RequestID: fault.RequestId, cause: fault.Unwrap()}
	}
	return &Error{Code: "ClientError"}
}
