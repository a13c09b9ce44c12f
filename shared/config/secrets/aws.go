package secrets

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// fromSecretsManager calls GetSecretValue. The two AWS services are called
// with the SDK's signer alone: their clients would add megabytes to each
// function for one request at start.
func fromSecretsManager(ctx context.Context, id, endpoint string) (map[string]string, error) {
	var answer struct{ SecretString string }
	request := map[string]any{"SecretId": id}
	if err := callAWS(ctx, "secretsmanager", "secretsmanager.GetSecretValue", endpoint, request, &answer); err != nil {
		return nil, err
	}
	return decode([]byte(answer.SecretString))
}

// maxPages bounds the pages of parameters read, ten parameters each.
const maxPages = 20

// fromParameterStore calls GetParametersByPath: /backchannel/prod/SECRET is
// the setting SECRET below /backchannel/prod.
func fromParameterStore(ctx context.Context, prefix, endpoint string) (map[string]string, error) {
	values := map[string]string{}
	request := map[string]any{"Path": prefix, "WithDecryption": true}
	for range maxPages {
		var answer struct {
			Parameters []struct{ Name, Value string }
			NextToken  string
		}
		if err := callAWS(ctx, "ssm", "AmazonSSM.GetParametersByPath", endpoint, request, &answer); err != nil {
			return nil, err
		}
		for _, p := range answer.Parameters {
			values[path.Base(p.Name)] = p.Value
		}
		if answer.NextToken == "" {
			if len(values) == 0 {
				return nil, errors.New("there is no parameter directly below the path")
			}
			return values, nil
		}
		request["NextToken"] = answer.NextToken
	}
	return nil, fmt.Errorf("more than %d parameters below the path", maxPages*10)
}

// callAWS makes one signed call of AWS's JSON 1.1 protocol. The region and the
// credentials are those that Lambda puts into the environment.
func callAWS(ctx context.Context, service, target, endpoint string, request, answer any) error {
	region := os.Getenv("AWS_REGION")
	credentials := aws.Credentials{
		AccessKeyID:     os.Getenv("AWS_ACCESS_KEY_ID"),
		SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken:    os.Getenv("AWS_SESSION_TOKEN"),
	}
	if region == "" || !credentials.HasKeys() {
		return errors.New("AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set; Lambda sets them")
	}
	if endpoint == "" {
		endpoint = "https://" + service + "." + region + ".amazonaws.com"
		if strings.HasPrefix(region, "cn-") {
			endpoint += ".cn"
		}
	}
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint+"/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", target)
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, credentials, r, hex.EncodeToString(sum[:]), service, region, time.Now()); err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d %s", resp.StatusCode, awsErrorType(text))
	}
	if json.Unmarshal(text, answer) != nil {
		return errors.New("the service's answer is not JSON")
	}
	return nil
}

// awsErrorType returns the name of the error that an answer holds, such as
// ResourceNotFoundException.
func awsErrorType(text []byte) string {
	var fault struct {
		Type string `json:"__type"`
	}
	if json.Unmarshal(text, &fault) != nil {
		return ""
	}
	return fault.Type[strings.LastIndexByte(fault.Type, '#')+1:]
}
