package secrets

import (
	"context"
	"strings"

	"github.com/backchannel-im/backchannel/shared/tencentcloud"
)

// fromTencentSSM calls GetSecretValue of Tencent's Secrets Manager (API
// 2019-09-23, document 1140/40522). The credentials are those that SCF puts
// into the environment of a function with an execution role.
func fromTencentSSM(ctx context.Context, name, endpoint string) (map[string]string, error) {
	name, version, found := strings.Cut(name, "@")
	if !found {
		version = "SSM_Current"
	}
	account, err := tencentcloud.FromEnvironment()
	if err != nil {
		return nil, err
	}
	ssm, err := tencentcloud.New(account, tencentcloud.Options{Service: "ssm", Version: "2019-09-23", Endpoint: endpoint, Timeout: Timeout})
	if err != nil {
		return nil, err
	}
	var answer struct{ SecretString string }
	if err := ssm.Call(ctx, "GetSecretValue", map[string]any{"SecretName": name, "VersionId": version}, &answer); err != nil {
		return nil, err
	}
	return decode([]byte(answer.SecretString))
}
