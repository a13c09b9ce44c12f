package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/scripts/internal/deployment"
)

// plan prints what apply would do.
func (d *deployer) plan(ctx context.Context, details bool) error {
	d.urls = map[string]string{}
	todo := 0
	var faults []error
	for _, f := range d.ordered() {
		program, hash, err := d.program(f)
		built := !errors.Is(err, errNotBuilt)
		if err != nil && built {
			return err
		}
		c, err := d.look(ctx, f)
		if err != nil {
			return err
		}
		triggers, err := d.triggers(ctx, f)
		if err != nil {
			return err
		}
		d.remember(f, triggers)
		want := d.withForwards(f)
		lines := d.steps(want, c, hash)
		for _, t := range f.Triggers {
			if verb := triggerVerb(t, triggers); verb != "" {
				lines = append(lines, verb+" "+kindOf(t)+" trigger "+t.Name)
			}
		}
		if !built {
			lines = append([]string{"the program is not built yet: run scripts/build.sh before apply"}, lines...)
		}
		faults = append(faults, d.fits(f, program), other(f, c))
		notes := stays(f, c, triggers)
		if len(lines) == 0 {
			fmt.Fprintf(d.out, "= %s: nothing to do\n", f.Name)
			d.note(notes)
			continue
		}
		todo += len(lines)
		sign := "~"
		if !c.exists {
			sign = "+"
		}
		fmt.Fprintf(d.out, "%s %s\n", sign, f.Name)
		for _, line := range lines {
			fmt.Fprintf(d.out, "    %s\n", line)
		}
		d.note(notes)
		if details && !c.exists {
			for _, name := range slices.Sorted(maps.Keys(want.Environment)) {
				fmt.Fprintf(d.out, "    variable %s is added\n", name)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(d.forwards(f))) {
			if want.Environment[name] == "" {
				fmt.Fprintf(d.out, "    variable %s will be the function URL of %s\n", name, d.forwards(f)[name])
			}
		}
	}
	faults = append(faults, d.sayLeftovers(ctx))
	fmt.Fprintf(d.out, "%d steps in region %s, stage %s\n", todo, d.want.Region, d.want.Stage)
	return errors.Join(faults...)
}

func (d *deployer) note(notes []string) {
	for _, line := range notes {
		fmt.Fprintf(d.out, "    note: %s\n", line)
	}
}

// steps are what is to do for the function itself.
func (d *deployer) steps(f deployment.SCFFunction, c current, code string) (lines []string) {
	hash := hashOf(f, code)
	switch {
	case !c.exists || c.Status == "CreateFailed":
		lines = append(lines, fmt.Sprintf("create: %d MB, %d s, %d variables", f.Memory, f.Timeout, len(f.Environment)))
	case c.mark.Hash == hash:
		// What stands is what the file says, unless somebody changed it by hand.
		if by := changes(f, c); len(by) > 0 {
			return append(by, "publish a version and point "+alias+" to it")
		}
		return nil
	default:
		if c.mark.Hash == unconfirmed {
			lines = append(lines, "version "+c.aliased+" has not answered its health check")
		}
		if c.moved {
			lines = append(lines, alias+" points to version "+c.aliased+", where somebody else pointed it")
		}
		lines = append(lines, "update the code")
		lines = append(lines, changes(f, c)...)
	}
	if f.Async {
		lines = append(lines, fmt.Sprintf("asynchronous invocations: %d retries, kept %d s", f.RetryNum, f.MsgTTL))
	}
	if f.Dead != "" {
		lines = append(lines, "dead letters to "+f.DeadType+" "+f.Dead)
	}
	return append(lines, "publish a version and point "+alias+" to it")
}

// remember keeps a function's URL, and whether it has triggers for prune.
func (d *deployer) remember(f deployment.SCFFunction, triggers []triggerOf) {
	d.extras = d.extras || len(extra(f, triggers)) > 0
	for _, t := range triggers {
		if url := urlOf(t); t.Type == "http" && url != "" {
			d.urls[f.Key] = url
		}
	}
}

// triggerVerb is what is to do for a trigger, "" for nothing.
func triggerVerb(want deployment.SCFTrigger, list []triggerOf) string {
	for _, is := range list {
		if sameName(want, is) {
			if sameTrigger(want, is) {
				return ""
			}
			return "replace"
		}
	}
	return "create"
}

// apply does it, function by function, and says what stands when it has to stop.
func (d *deployer) apply(ctx context.Context) error {
	d.urls = map[string]string{}
	if err := d.ready(); err != nil {
		return fmt.Errorf("%w\nnothing was changed", err)
	}
	for i, f := range d.ordered() {
		if err := d.applyTo(ctx, f); err != nil {
			rest := d.ordered()[i:]
			left := make([]string, len(rest))
			for i, f := range rest {
				left[i] = f.Name
			}
			stands := "nothing was changed"
			if len(d.done) > 0 {
				stands = "done: " + strings.Join(d.done, "; ")
			}
			return fmt.Errorf("%w\nwhat stands: %s\nnot finished: %s\nrun apply again when that is settled: it goes on where it stopped", err, stands, strings.Join(left, ", "))
		}
	}
	for _, f := range d.want.Functions {
		if url := d.urls[f.Key]; url != "" {
			fmt.Fprintf(d.out, "%s  %s\n", f.Name, url)
		}
	}
	for _, key := range []string{"bundle", "callback-router"} {
		if url := d.urls[key]; url != "" {
			url = strings.TrimSuffix(url, "/") + "/im"
			if d.function(key).Environment["CALLBACK_PATH_SECRET"] != "" {
				url += "/ and the value of CALLBACK_PATH_SECRET"
			}
			fmt.Fprintf(d.out, "callback URL for IM's console: %s\n", url)
		}
	}
	return d.sayLeftovers(ctx)
}

func (d *deployer) did(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	d.done = append(d.done, line)
	fmt.Fprintln(d.out, line)
}

func (d *deployer) applyTo(ctx context.Context, raw deployment.SCFFunction) error {
	program, code, err := d.program(raw)
	if err != nil {
		return err
	}
	f := d.withForwards(raw)
	hash := hashOf(f, code)
	c, err := d.look(ctx, f)
	if err != nil {
		return err
	}
	if err := other(f, c); err != nil {
		return err
	}
	if c.Status == "CreateFailed" {
		if err := d.call(ctx, "DeleteFunction", map[string]any{"FunctionName": f.Name}, nil); err != nil && !isCode(err, gone...) {
			return explain("DeleteFunction", f.Name, err)
		}
		c = current{}
	}
	var to mark // what was released just now
	if c.mark.Hash != hash || len(changes(f, c)) > 0 {
		if to, err = d.release(ctx, f, c, program, code, hash); err != nil {
			return err
		}
	}
	if err := d.applyTriggers(ctx, f); err != nil || to == (mark{}) || !healthByURL(f) {
		return err
	}
	return d.confirm(ctx, f, to)
}

// release makes the function what the file says, publishes a version, asks it for
// its health, and points the alias to it. A web function is asked afterwards.
func (d *deployer) release(ctx context.Context, f deployment.SCFFunction, c current, program []byte, code, hash string) (to mark, err error) {
	config := map[string]any{
		"FunctionName": f.Name, "Description": f.Description, "MemorySize": f.Memory, "Timeout": f.Timeout,
		"Environment": map[string]any{"Variables": variables(f.Environment)},
	}
	if f.Role != "" {
		config["Role"] = f.Role
	}
	if f.VPC != "" || c.VpcConfig.VpcId != "" {
		config["VpcConfig"] = map[string]any{"VpcId": f.VPC, "SubnetId": f.Subnet}
	}
	if f.Dead != "" {
		config["DeadLetterConfig"] = map[string]any{"Type": f.DeadType, "Name": f.Dead}
	}
	if !c.exists {
		kind := "Event"
		if f.Web {
			kind = "HTTP"
		}
		at, err := d.code(ctx, program, code)
		if err != nil {
			return to, err
		}
		create := maps.Clone(config)
		create["Code"], create["Handler"], create["Runtime"], create["Type"] = at, "main", "Go1", kind
		if err := d.call(ctx, "CreateFunction", create, nil); err != nil && !isCode(err, "ResourceInUse.Function") {
			return to, explain("CreateFunction", f.Name, err)
		}
		if err := d.settled(ctx, f); err != nil {
			return to, err
		}
		d.did("created %s", f.Name)
	} else {
		// What failed before is what this repeats.
		if err := d.settled(ctx, f, "UpdateFailed", "PublishFailed"); err != nil {
			return to, err
		}
		at, err := d.code(ctx, program, code)
		if err != nil {
			return to, err
		}
		update := map[string]any{"FunctionName": f.Name, "Handler": "main"}
		maps.Copy(update, at)
		if err := d.call(ctx, "UpdateFunctionCode", update, nil); err != nil {
			return to, explain("UpdateFunctionCode", f.Name, err)
		}
		if err := d.settled(ctx, f); err != nil {
			return to, err
		}
		if err := d.call(ctx, "UpdateFunctionConfiguration", config, nil); err != nil {
			return to, explain("UpdateFunctionConfiguration", f.Name, err)
		}
		if err := d.settled(ctx, f); err != nil {
			return to, err
		}
		d.did("updated %s", f.Name)
	}
	if f.Async {
		err := d.call(ctx, "UpdateFunctionEventInvokeConfig", map[string]any{
			"FunctionName": f.Name, "AsyncTriggerConfig": map[string]any{"RetryConfig": []map[string]any{{"RetryNum": f.RetryNum}}, "MsgTTL": f.MsgTTL},
		}, nil)
		if err != nil {
			return to, explain("UpdateFunctionEventInvokeConfig", f.Name, err)
		}
	}
	var version struct{ FunctionVersion string }
	if err := d.call(ctx, "PublishVersion", map[string]any{"FunctionName": f.Name, "Description": "backchannel " + hash}, &version); err != nil {
		return to, explain("PublishVersion", f.Name, err)
	}
	if version.FunctionVersion == "" {
		return to, fmt.Errorf("PublishVersion of %s: the answer names no version", f.Name)
	}
	if err := d.settled(ctx, f); err != nil {
		return to, err
	}
	if err := d.healthy(ctx, f, version.FunctionVersion); err != nil {
		return to, err
	}
	to = mark{hash, version.FunctionVersion, c.aliased}
	switch {
	case c.mark.Hash == unconfirmed: // which is nothing to go back to
		to.Before = c.mark.Before
	case c.aliased == "$LATEST":
		to.Before = ""
	}
	is := to
	if healthByURL(f) {
		is.Hash = unconfirmed
	}
	verb := "UpdateAlias"
	if c.aliased == "" {
		var a struct{ FunctionVersion string }
		err := d.call(ctx, "GetAlias", map[string]any{"FunctionName": f.Name, "Name": alias}, &a)
		if isCode(err, "ResourceNotFound") {
			verb = "CreateAlias"
		} else if err != nil {
			return to, explain("GetAlias", f.Name, err)
		}
	}
	if err := d.point(ctx, verb, f, is); err != nil {
		return to, err
	}
	if is.Hash == unconfirmed {
		d.did("%s: %s points to version %s for its health check", f.Name, alias, to.Version)
	} else {
		d.did("%s: version %s is in force", f.Name, to.Version)
	}
	return to, nil
}

// point has the alias point to the version of a mark.
func (d *deployer) point(ctx context.Context, verb string, f deployment.SCFFunction, to mark) error {
	err := d.call(ctx, verb, map[string]any{"FunctionName": f.Name, "Name": alias, "FunctionVersion": to.Version, "Description": to.String()}, nil)
	if err != nil {
		return explain(verb, f.Name, err)
	}
	return nil
}

func variables(env map[string]string) []variable {
	list := make([]variable, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, variable{name, env[name]})
	}
	return list
}

// settled waits until the platform has finished what it was asked. The states named
// are an end as well as Active is.
func (d *deployer) settled(ctx context.Context, f deployment.SCFFunction, ends ...string) error {
	for range 120 {
		var c struct{ Status, StatusDesc string }
		if err := d.call(ctx, "GetFunction", map[string]any{"FunctionName": f.Name}, &c); err != nil {
			return explain("GetFunction", f.Name, err)
		}
		if slices.Contains(ends, c.Status) {
			return nil
		}
		switch c.Status {
		case "Active", "":
			return nil
		case "CreateFailed", "UpdateFailed", "PublishFailed":
			return fmt.Errorf("%s: the platform says %s: %s", f.Name, c.Status, c.StatusDesc)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d.poll):
		}
	}
	return fmt.Errorf("%s is not ready after two minutes", f.Name)
}

// healthy invokes a version before anybody depends on it.
func (d *deployer) healthy(ctx context.Context, f deployment.SCFFunction, version string) error {
	if f.Web || f.Key == "clock" || !hasURL(f) {
		return nil // a web function takes no events, see confirm; the clock serves nobody
	}
	event := `{"httpMethod":"GET","path":"/healthz","headers":{},"queryString":{},"body":""}`
	var answer struct {
		Result struct {
			ErrMsg, RetMsg string
			InvokeResult   int
		}
	}
	err := d.call(ctx, "Invoke", map[string]any{"FunctionName": f.Name, "Qualifier": version, "InvocationType": "RequestResponse", "ClientContext": event}, &answer)
	if isCode(err, "InvalidAction", "UnsupportedOperation", "ActionOffline", "UnknownAction", "NoSuchAction") {
		return nil
	}
	if err != nil {
		return explain("Invoke", f.Name, err)
	}
	var reply struct{ StatusCode int }
	if answer.Result.RetMsg == "" && answer.Result.ErrMsg == "" && answer.Result.InvokeResult == 0 {
		return nil
	}
	if answer.Result.InvokeResult == 0 && json.Unmarshal([]byte(answer.Result.RetMsg), &reply) == nil && (reply.StatusCode == 0 || reply.StatusCode == 200) {
		return nil
	}
	return fmt.Errorf("%s: version %s does not start: %s\n%s still points to the version before; the function's log names every setting that is missing or malformed. Correct it and run apply again",
		f.Name, version, clip(answer.Result.ErrMsg+" "+answer.Result.RetMsg), alias)
}

// healthByURL reports whether a function shows its health at its URL: a web function
// takes no events, and its URL leads to the alias alone.
func healthByURL(f deployment.SCFFunction) bool { return f.Web && hasURL(f) }

// unconfirmed is the hash of a version that the alias points to and whose health is not
// known: the next apply deploys anew.
var unconfirmed = strings.Repeat("f", 16)

// confirm asks a web function for its health at its URL, and points the alias back to the
// version before where it has none.
func (d *deployer) confirm(ctx context.Context, f deployment.SCFFunction, to mark) error {
	why := d.healthFault(ctx, d.urls[f.Key])
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if why == "" {
		if err := d.point(ctx, "UpdateAlias", f, to); err != nil {
			return err
		}
		d.did("%s: version %s is in force", f.Name, to.Version)
		return nil
	}
	stands := "there is no version before it to go back to"
	if to.Before != "" {
		if err := d.point(ctx, "UpdateAlias", f, mark{rolledBack, to.Before, to.Version}); err != nil {
			return fmt.Errorf("%s: version %s does not start: %s\nit could not be taken back: %w", f.Name, to.Version, why, err)
		}
		d.did("%s: version %s is in force again", f.Name, to.Before)
		stands = alias + " points to version " + to.Before + " again"
	}
	return fmt.Errorf("%s: version %s does not start: %s\n%s; the function's log names every setting that is missing or malformed. Correct it and run apply again", f.Name, to.Version, why, stands)
}

// healthFault says why a URL does not answer its health check, "" if it does. A URL that is new
// is not known everywhere at once, and the alias takes a moment.
func (d *deployer) healthFault(ctx context.Context, url string) (why string) {
	if url == "" {
		return "the API does not tell its function URL"
	}
	url = strings.TrimSuffix(url, "/") + "/healthz"
	for range 10 {
		select {
		case <-ctx.Done():
			return ""
		case <-time.After(2 * d.poll):
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return withoutURL(err).Error()
		}
		a, err := send(r)
		var health struct{ Status string }
		switch {
		case err != nil:
			why = url + " cannot be reached from here: " + err.Error()
		case a.status == http.StatusOK && json.Unmarshal(a.body, &health) == nil && health.Status == "ok":
			return ""
		default:
			why = fmt.Sprintf("%s answers status %d: %s", url, a.status, clip(string(a.body)))
		}
	}
	return why
}

func hasURL(f deployment.SCFFunction) bool {
	return slices.ContainsFunc(f.Triggers, func(t deployment.SCFTrigger) bool { return t.Cron == "" })
}

func clip(text string) string {
	text = strings.TrimSpace(text)
	return text[:min(len(text), 300)]
}

// standing is the trigger that stands for one of the file: its name and qualifier are
// what the API finds it by.
func standing(want deployment.SCFTrigger, list []triggerOf) triggerOf {
	is := triggerOf{TriggerName: want.Name}
	if i := slices.IndexFunc(list, func(t triggerOf) bool { return sameName(want, t) }); i >= 0 {
		is = list[i]
	}
	is.Qualifier = cmp.Or(is.Qualifier, alias)
	return is
}

func (d *deployer) applyTriggers(ctx context.Context, f deployment.SCFFunction) error {
	list, err := d.triggers(ctx, f)
	if err != nil {
		return err
	}
	for _, t := range f.Triggers {
		switch triggerVerb(t, list) {
		case "":
			continue
		case "replace":
			is := standing(t, list)
			if t.Cron == "" {
				// Deleting a function URL would change the address that IM's console has.
				err = d.call(ctx, "UpdateTrigger", map[string]any{
					"FunctionName": f.Name, "TriggerName": is.TriggerName, "Type": "http", "TriggerDesc": describe(t), "Qualifier": is.Qualifier, "Enable": "OPEN",
					"Description": is.Description,
				}, nil)
				if err != nil {
					return explain("UpdateTrigger", f.Name, err)
				}
				d.did("%s: function URL changed", f.Name)
				continue
			}
			err = d.call(ctx, "DeleteTrigger", map[string]any{"FunctionName": f.Name, "TriggerName": is.TriggerName, "Type": "timer", "Qualifier": is.Qualifier}, nil)
			if err != nil && !isCode(err, "ResourceNotFound") {
				return explain("DeleteTrigger", f.Name, err)
			}
		}
		create := map[string]any{
			"FunctionName": f.Name, "TriggerName": t.Name, "Type": kindOf(t), "TriggerDesc": describe(t), "Qualifier": alias, "Enable": "OPEN",
			"Description": triggerMark,
		}
		if t.Argument != "" {
			create["CustomArgument"] = t.Argument
		}
		if err := d.call(ctx, "CreateTrigger", create, nil); err != nil && !isCode(err, "ResourceInUse.Trigger") {
			return explain("CreateTrigger", f.Name, err)
		}
		d.did("%s: %s trigger %s", f.Name, kindOf(t), t.Name)
	}
	if list, err = d.triggers(ctx, f); err != nil {
		return err
	}
	d.remember(f, list)
	c, err := d.look(ctx, f)
	for _, note := range stays(f, c, list) {
		fmt.Fprintf(d.out, "%s: note: %s\n", f.Name, note)
	}
	return err
}

// rolledBack is the hash of what a rollback put into force: the next apply deploys
// anew, and another rollback leaves it alone, so that one that was interrupted can be
// finished.
var rolledBack = strings.Repeat("0", 16)

// rollback points the alias of each function to the version before.
func (d *deployer) rollback(ctx context.Context) error {
	type step struct {
		f deployment.SCFFunction
		c current
	}
	var steps []step
	for _, f := range d.want.Functions {
		c, err := d.look(ctx, f)
		if err != nil {
			return err
		}
		switch {
		case !c.exists:
			fmt.Fprintf(d.out, "%s is not deployed\n", f.Name)
		case c.mark.Hash == rolledBack:
			fmt.Fprintf(d.out, "%s: version %s is in force since a rollback\n", f.Name, c.aliased)
		case c.mark.Before == "":
			fmt.Fprintf(d.out, "%s: version %s has none before it\n", f.Name, c.aliased)
		default:
			steps = append(steps, step{f, c})
		}
	}
	if len(steps) == 0 {
		return errors.New("there is nothing to go back to")
	}
	for i, s := range steps {
		if err := d.point(ctx, "UpdateAlias", s.f, mark{rolledBack, s.c.mark.Before, s.c.aliased}); err != nil {
			return fmt.Errorf("%w\n%d of %d functions are back at the version before; run rollback again for the others when that is settled", err, i, len(steps))
		}
		fmt.Fprintf(d.out, "%s: version %s is in force, instead of %s\n", s.f.Name, s.c.mark.Before, s.c.aliased)
	}
	return nil
}
