package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/backchannel-im/backchannel/scripts/internal/deployment"
	"github.com/backchannel-im/backchannel/shared/wiring/features"
)

// leftover is a function of this product and stage that stands in the cloud and not in
// the file, as those of the other form do after a change from one to the other.
type leftover struct {
	name     string
	made     bool // by apply: its alias says so
	triggers []triggerOf
}

// programs are the folders below functions/, by which functions are named.
func programs() []string {
	list := []string{"bundle", "callback-router", "job-worker", "clock"}
	for _, f := range features.All() {
		list = append(list, f.Function)
	}
	return list
}

// leftovers looks for functions that have the names of this product and stage. A
// function to which a file gave a name of its own is not among them.
func (d *deployer) leftovers(ctx context.Context) ([]leftover, error) {
	prefix := d.want.App + "-" + d.want.Stage + "-"
	ours := map[string]bool{}
	for _, f := range d.want.Functions {
		ours[f.Name] = true
	}
	var list []leftover
	const page = 100
	for offset := 0; ; offset += page {
		var found struct {
			Functions []struct{ FunctionName string }
		}
		if err := d.call(ctx, "ListFunctions", map[string]any{"SearchKey": prefix, "Offset": offset, "Limit": page}, &found); err != nil {
			return nil, explain("ListFunctions", prefix+"*", err)
		}
		for _, is := range found.Functions {
			key, has := strings.CutPrefix(is.FunctionName, prefix)
			if !has || ours[is.FunctionName] || !slices.Contains(programs(), key) {
				continue
			}
			f := deployment.SCFFunction{Name: is.FunctionName}
			c, err := d.look(ctx, f)
			if err != nil {
				return nil, err
			}
			triggers, err := d.triggers(ctx, f)
			if err != nil {
				return nil, err
			}
			if c.exists {
				list = append(list, leftover{is.FunctionName, c.apply, triggers})
			}
		}
		if len(found.Functions) < page {
			return list, nil
		}
	}
}

// effects says what a leftover goes on doing.
func (l leftover) effects() string {
	var does []string
	for _, t := range l.triggers {
		switch {
		case t.Enable != nil && *t.Enable == 0:
		case t.Type == "timer":
			does = append(does, "its timer "+t.TriggerName+" runs beside that of the file, so two clocks do the same work")
		case t.Type == "http":
			does = append(does, "callbacks and requests may still come to its function URL "+urlOf(t))
		default:
			does = append(does, "its "+t.Type+" trigger "+t.TriggerName+" may still call it")
		}
	}
	if len(does) == 0 {
		return "nothing calls it"
	}
	return strings.Join(does, "; ")
}

// triggerMark is the description of the triggers that apply made, by which prune tells
// them from those that somebody made in SCF's console.
const triggerMark = "backchannel"

// extra are the triggers of a function that apply made and the file no longer has.
func extra(f deployment.SCFFunction, triggers []triggerOf) (list []triggerOf) {
	for _, is := range triggers {
		if is.Description == triggerMark && !inFile(f, is) {
			list = append(list, is)
		}
	}
	return list
}

func inFile(f deployment.SCFFunction, is triggerOf) bool {
	return slices.ContainsFunc(f.Triggers, func(t deployment.SCFTrigger) bool { return sameName(t, is) })
}

// sayLeftovers prints what stands beside the file and how to remove it.
func (d *deployer) sayLeftovers(ctx context.Context) error {
	list, err := d.leftovers(ctx)
	if isCode(err, unauthorized...) {
		fmt.Fprintf(d.out, "note: functions that an earlier deployment left behind were not looked for: %v\n", err)
	} else if err != nil {
		return err
	}
	for _, l := range list {
		fmt.Fprintf(d.out, "! %s stands, and %s does not have it: %s\n", l.name, d.file, l.effects())
		if !l.made {
			fmt.Fprintf(d.out, "    apply did not make it, so prune leaves it: delete it in SCF's console if nothing needs it\n")
		}
	}
	if d.extras || slices.ContainsFunc(list, func(l leftover) bool { return l.made }) {
		fmt.Fprintf(d.out, "to delete what the file does not have, once it is applied and IM's console has its callback URL:\n    %s\n", d.command("prune"))
	}
	return nil
}

// prune deletes what plan named: functions of this product and stage, and triggers of
// the file's functions, that apply made and the file does not have. It does so only when
// all functions of the file are in force and have their triggers.
func (d *deployer) prune(ctx context.Context) error {
	type doomed struct {
		function, trigger string
		triggerOf
	}
	var list []doomed
	for _, f := range d.want.Functions {
		c, err := d.look(ctx, f)
		if err != nil {
			return err
		}
		if !c.exists || !c.apply || c.mark.Hash == unconfirmed {
			return fmt.Errorf("%s of %s is not in force yet, so nothing was deleted: run apply, enter the callback URL that it prints in IM's console, and prune then", f.Name, d.file)
		}
		triggers, err := d.triggers(ctx, f)
		if err != nil {
			return err
		}
		for _, t := range f.Triggers {
			if triggerVerb(t, triggers) == "create" {
				return fmt.Errorf("%s of %s has no %s trigger %s yet, so nothing was deleted: run apply, enter the callback URL that it prints in IM's console, and prune then", f.Name, d.file, kindOf(t), t.Name)
			}
		}
		for _, t := range extra(f, triggers) {
			list = append(list, doomed{f.Name, t.TriggerName, t})
		}
	}
	left, err := d.leftovers(ctx)
	if err != nil {
		return err
	}
	for _, l := range left {
		if !l.made {
			fmt.Fprintf(d.out, "%s stays: apply did not make it\n", l.name)
			continue
		}
		list = append(list, doomed{function: l.name})
	}
	if len(list) == 0 {
		fmt.Fprintln(d.out, "there is nothing to delete")
	}
	for _, x := range list {
		action, what := "DeleteFunction", x.function
		parameters := map[string]any{"FunctionName": x.function}
		if x.trigger != "" {
			action, what = "DeleteTrigger", "the "+x.Type+" trigger "+x.trigger+" of "+x.function
			parameters = map[string]any{"FunctionName": x.function, "TriggerName": x.trigger, "Type": x.Type, "Qualifier": cmp.Or(x.Qualifier, alias)}
		}
		if err := d.call(ctx, action, parameters, nil); err != nil && !isCode(err, "ResourceNotFound") {
			stands := "nothing was deleted"
			if len(d.done) > 0 {
				stands = strings.Join(d.done, "; ")
			}
			return fmt.Errorf("%w\n%s; run prune again when that is settled", explain(action, x.function, err), stands)
		}
		d.did("deleted %s", what)
	}
	return nil
}

// command is the command line that was given, with another verb.
func (d *deployer) command(verb string) string {
	words := []string{"imctl deploy tencent " + verb, "-file", quote(d.file)}
	d.flags.Visit(func(f *flag.Flag) {
		if f.Name != "file" {
			words = append(words, "-"+f.Name, quote(f.Value.String()))
		}
	})
	return strings.Join(words, " ")
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9._/:@%+=-]+$`)

// quote makes a word for a shell.
func quote(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// unauthorized are the codes of what the credentials may not do.
var unauthorized = []string{"UnauthorizedOperation", "FailedOperation.CamAuth", "OperationDenied"}
