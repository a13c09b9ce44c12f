// Package tencentmedia has Tencent Cloud inspect the files of messages: pictures at
// once (IMS, ImageModeration, 2020-12-29, document 1125), voices (AMS,
// CreateAudioModerationTask, 2020-12-29, document 1124/52345) and videos (VM,
// CreateVideoModerationTask, 2021-09-22, document 1140/51174) by tasks, whose result
// comes to our route.
//
// A result carries X-Signature, the SHA-256 of the task's seed and the body in
// hexadecimal digits. The manuals at hand name the seed and not the header; an HMAC
// with the seed as its key is therefore accepted, too.
package tencentmedia

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/moderation"
	"github.com/backchannel-im/backchannel/shared/moderation/media"
	"github.com/backchannel-im/backchannel/shared/tencentcloud"
)

// Config configures an [Inspector].
type Config struct {
	Account tencentcloud.Account
	// Images, Audio and Video are the services' URLs, such as
	// https://ims.tencentcloudapi.com; "" means that files of the kind are not
	// inspected.
	Images, Audio, Video string
	// BizType names the policy in the services' console; "" is their default,
	// which videos do not have.
	BizType string
	// CallbackURL is our route /moderation/results as the services reach it.
	CallbackURL string
	// Seed signs the services' requests to CallbackURL: any text of at least MinSeed
	// bytes.
	Seed string
}

// MinSeed is the least length of a seed, in bytes: with a guessed seed anybody could
// send results in the services' name.
const MinSeed = 16

// timeout bounds one call.
const timeout = 10 * time.Second

// Inspector implements media.Inspector.
type Inspector struct {
	images, audio, video *tencentcloud.Service // nil: not asked
	c                    Config
}

// New returns an Inspector. New sends no request.
func New(c Config) (*Inspector, error) {
	in := &Inspector{c: c}
	for _, s := range []struct {
		service       **tencentcloud.Service
		name, version string
		url           string
	}{
		{&in.images, "ims", "2020-12-29", c.Images},
		{&in.audio, "ams", "2020-12-29", c.Audio},
		{&in.video, "vm", "2021-09-22", c.Video},
	} {
		if s.url == "" {
			continue
		}
		made, err := tencentcloud.New(c.Account, tencentcloud.Options{Service: s.name, Version: s.version, Endpoint: s.url, Timeout: timeout})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		*s.service = made
	}
	if (in.audio != nil || in.video != nil) && (c.CallbackURL == "" || len(c.Seed) < MinSeed) {
		return nil, fmt.Errorf("voices and videos need the URL of the route for results and a seed of at least %d bytes", MinSeed)
	}
	return in, nil
}

// Inspect implements media.Inspector.
func (in *Inspector) Inspect(ctx context.Context, f media.File) (moderation.Opinion, error) {
	switch {
	case f.Kind == media.Image && in.images != nil:
		return in.picture(ctx, f)
	case f.Kind == media.Audio && in.audio != nil:
		return moderation.NoOpinion, in.task(ctx, in.audio, "CreateAudioModerationTask", "AUDIO", f)
	case f.Kind == media.Video && in.video != nil:
		return moderation.NoOpinion, in.task(ctx, in.video, "CreateVideoModerationTask", "VIDEO", f)
	}
	return moderation.Pass, fmt.Errorf("%w: nobody looks at files of kind %s", media.ErrUnfit, f.Kind)
}

func (in *Inspector) picture(ctx context.Context, f media.File) (moderation.Opinion, error) {
	parameters := map[string]any{"DataId": f.ID, "FileUrl": f.URL, "User": map[string]any{"UserId": f.From}}
	if in.c.BizType != "" {
		parameters["BizType"] = in.c.BizType
	}
	var answer struct{ Suggestion string }
	if err := in.images.Call(ctx, "ImageModeration", parameters, &answer); err != nil {
		return moderation.NoOpinion, unfit(err)
	}
	o, known := opinions[strings.ToLower(answer.Suggestion)]
	if !known {
		return moderation.NoOpinion, errors.New("the service answers no suggestion that its manual knows")
	}
	return o, nil
}

// task creates a task of one file.
func (in *Inspector) task(ctx context.Context, service *tencentcloud.Service, action, kind string, f media.File) error {
	parameters := map[string]any{
		"Type": kind, "Seed": in.c.Seed, "CallbackUrl": in.c.CallbackURL,
		"Tasks": []any{map[string]any{"DataId": f.ID, "Input": map[string]any{"Type": "URL", "Url": f.URL}}},
	}
	if in.c.BizType != "" {
		parameters["BizType"] = in.c.BizType
	}
	var answer struct{ Results []struct{ Code string } }
	if err := service.Call(ctx, action, parameters, &answer); err != nil {
		return unfit(err)
	}
	if len(answer.Results) != 1 || answer.Results[0].Code != "OK" {
		return fmt.Errorf("%w: the service took no task", media.ErrUnfit)
	}
	return nil
}

// unfit tells what is wrong with the file from what may pass.
func unfit(err error) error {
	if refused, is := errors.AsType[*tencentcloud.Error](err); is {
		for _, kind := range []string{"InvalidParameter", "InvalidParameterValue", "ResourceUnavailable.InvalidImageContent", "UnsupportedOperation"} {
			if strings.HasPrefix(refused.Code, kind) {
				return fmt.Errorf("%w: %s", media.ErrUnfit, refused.Code)
			}
		}
	}
	return err
}

var opinions = map[string]moderation.Opinion{"pass": moderation.Pass, "review": moderation.Suspect, "block": moderation.Block}

// Result implements media.Inspector. The result is NoOpinion for a task that is not
// finished or has failed.
func (in *Inspector) Result(header http.Header, body []byte) (string, moderation.Opinion, error) {
	if !in.signed(header.Get("X-Signature"), body) {
		return "", moderation.NoOpinion, fault.New(fault.Unauthenticated, "the signature is missing or wrong")
	}
	var result struct {
		DataID, Suggestion string // DataId: names are compared without case
	}
	if err := json.Unmarshal(body, &result); err != nil || result.DataID == "" {
		return "", moderation.NoOpinion, fault.New(fault.Invalid, "this is no result of a task: DataId is missing")
	}
	return result.DataID, opinions[strings.ToLower(result.Suggestion)], nil
}

func (in *Inspector) signed(signature string, body []byte) bool {
	got, err := hex.DecodeString(signature)
	if err != nil || len(in.c.Seed) < MinSeed {
		return false
	}
	plain := sha256.New()
	keyed := hmac.New(sha256.New, []byte(in.c.Seed))
	_, _ = plain.Write([]byte(in.c.Seed))
	_, _ = plain.Write(body)
	_, _ = keyed.Write(body)
	return subtle.ConstantTimeCompare(got, plain.Sum(nil))|subtle.ConstantTimeCompare(got, keyed.Sum(nil)) == 1
}
