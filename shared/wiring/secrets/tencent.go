package secrets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tcerr "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
)

// fromTencentSSM calls GetSecretValue of Tencent's Secrets Manager (API
// 2019-09-23, document 1140/40522). The credentials are those that SCF puts
// into the environment of a function with an execution role.
func fromTencentSSM(ctx context.Context, name, endpoint string) (map[string]string, error) {
	name, version, found := strings.Cut(name, "@")
	if !found {
		version = "SSM_Current"
	}
	region := os.Getenv("TENCENTCLOUD_REGION")
	id, key := os.Getenv("TENCENTCLOUD_SECRETID"), os.Getenv("TENCENTCLOUD_SECRETKEY")
	if region == "" || id == "" || key == "" {
		return nil, errors.New("TENCENTCLOUD_REGION, TENCENTCLOUD_SECRETID and TENCENTCLOUD_SECRETKEY are not set; SCF sets them for a function with an execution role")
	}
	use := profile.NewClientProfile()
	use.HttpProfile.ReqTimeout = int(Timeout.Seconds())
	if endpoint != "" {
		u, err := url.Parse(endpoint)
		if err != nil {
			return nil, err
		}
		use.HttpProfile.Scheme, use.HttpProfile.Endpoint = strings.ToUpper(u.Scheme), u.Host
	}
	credential := common.NewTokenCredential(id, key, os.Getenv("TENCENTCLOUD_SESSIONTOKEN"))
	request := tchttp.NewCommonRequest("ssm", "2019-09-23", "GetSecretValue")
	request.SetContext(ctx)
	if err := request.SetActionParameters(map[string]any{"SecretName": name, "VersionId": version}); err != nil {
		return nil, err
	}
	response := tchttp.NewCommonResponse()
	if err := common.NewCommonClient(credential, region, use).Send(request, response); err != nil {
		return nil, withoutContents(err)
	}
	var answer struct {
		Response struct{ SecretString string }
	}
	if json.Unmarshal(response.GetBody(), &answer) != nil {
		return nil, errors.New("the service's answer has another form than documented")
	}
	return decode([]byte(answer.Response.SecretString))
}

// withoutContents keeps the code of an SDK error, or its cause when the
// service was not reached. The SDK's own text may quote the whole answer.
func withoutContents(err error) error {
	var fault *tcerr.TencentCloudSDKError
	if !errors.As(err, &fault) {
		return errors.New("the call failed")
	}
	if cause := fault.Unwrap(); cause != nil {
		return fmt.Errorf("%s: %w", fault.Code, cause)
	}
	if fault.RequestId != "" {
		return fmt.Errorf("%s (request %s)", fault.Code, fault.RequestId)
	}
	return errors.New(fault.Code)
}
