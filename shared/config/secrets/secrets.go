// Package secrets adds the values of one secret document to a program's settings,
// because both clouds bound a function's environment to 4 KB and show that environment
// to everybody who may view the function.
//
// Call [Load] before reading any other setting. SECRETS_URL says where the
// document is:
//
//	file:PATH                 a file holding a JSON object of strings
//	aws-secretsmanager:ID     a secret's name or ARN; its text is such an object
//	aws-ssm:/PATH             one parameter a setting, directly below the path
//	tencent-ssm:NAME@VERSION  a secret whose text is such an object; without
//	                          a version the one in use, SSM_Current
//
// The object's names are names of settings; a setting given in the environment
// goes before one given here, and names that the program does not know are
// left alone, so that several functions may share one document. Credentials
// are those that the platform gives to the function; the function's role needs
// the right to read that one secret.
//
// A changed document takes effect without a deployment: functions on both clouds read
// the document again every five minutes while they are called, and rebuild themselves
// when it has changed. If the document cannot be read then, functions keep the values
// that they have. A plain process reads the document at start only.
//
// No error of this package repeats what a document says.
package secrets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/config"
)

// Timeout is how long Load waits for a secrets service. A program that starts
// without its secrets cannot work, so failing soon and being started again is
// better than waiting. Our decision.
const Timeout = 5 * time.Second

// maxDocument bounds what is read: AWS holds at most 64 KiB a secret, Tencent
// 32 KiB, and a file has no reason to be larger.
const maxDocument = 1 << 20

// sources by scheme. Each gets what follows the scheme and the endpoint to
// call instead of the service's own, or "".
var sources = map[string]func(ctx context.Context, name, endpoint string) (map[string]string, error){
	"file":               fromFile,
	"aws-secretsmanager": fromSecretsManager,
	"aws-ssm":            fromParameterStore,
	"tencent-ssm":        fromTencentSSM,
}

// Load asks set for SECRETS_URL and, if it is given, reads the document and lays it
// under the environment. An error means that the document could not be read; the
// document's settings are then unknown, so the program stops instead of reporting each
// of them as missing. Load waits at most [Timeout].
//
// changed reads the document again and reports whether the document differs; changed
// is nil where SECRETS_URL is not given.
func Load(ctx context.Context, set *config.Reader) (changed func(context.Context) (bool, error), err error) {
	url := set.Text(config.Setting{
		Group:   "secrets",
		Name:    "SECRETS_URL",
		Meaning: "secret document with settings that should not stand in the environment",
		Format:  "file:PATH, aws-secretsmanager:ID, aws-ssm:/PATH or tencent-ssm:NAME@VERSION",
	})
	endpoint := set.URL(config.Setting{
		Group:   "secrets",
		Name:    "SECRETS_ENDPOINT",
		Meaning: "base URL to reach the secrets service at, instead of its public one in the function's region",
		Format:  "https://HOST, or http://HOST:PORT of an emulator",
	})
	if url == "" {
		return nil, nil
	}
	scheme, name, _ := strings.Cut(url, ":")
	read := sources[scheme]
	if read == nil || name == "" {
		return nil, errors.New("SECRETS_URL: must be file:PATH, aws-secretsmanager:ID, aws-ssm:/PATH or tencent-ssm:NAME@VERSION")
	}
	document := func(ctx context.Context) (map[string]string, error) {
		ctx, cancel := context.WithTimeout(ctx, Timeout)
		defer cancel()
		values, err := read(ctx, name, endpoint)
		if err != nil {
			return nil, fmt.Errorf("SECRETS_URL: %s: %w", scheme, err)
		}
		return values, nil
	}
	values, err := document(ctx)
	if err != nil {
		return nil, err
	}
	set.Overlay(values)
	return func(ctx context.Context) (bool, error) {
		now, err := document(ctx)
		return err == nil && !maps.Equal(now, values), err
	}, nil
}

func fromFile(_ context.Context, path, _ string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxDocument))
	if err != nil {
		return nil, err
	}
	return decode(text)
}

// decode reads a document. What json says about a fault may quote the text, so
// it is not passed on.
func decode(text []byte) (map[string]string, error) {
	var values map[string]string
	if err := json.Unmarshal(text, &values); err != nil || values == nil {
		return nil, errors.New("the document is not a JSON object of strings")
	}
	return values, nil
}
