package imtest

import (
	"fmt"
	"reflect"
)

// Commands are the REST API's commands, for tests that must cover them all.
func Commands() []string { return sortedKeys(commands) }

// NotModelled are the documented commands that are missing, with what they are
// for.
func NotModelled() map[string]string { return notModelled }

// SharedWithSnapshot lists the maps, lists and records that an app and one of its
// snapshots both hold. Message bodies may be: nobody changes them in place.
func SharedWithSnapshot(a *App, name string) (shared []string) {
	own := make(map[uintptr]string)
	walk(reflect.ValueOf(&a.holdings).Elem(), "", func(at uintptr, path string) { own[at] = path })
	walk(reflect.ValueOf(&a.snapshots[name].contents).Elem(), "", func(at uintptr, path string) {
		if own[at] != "" {
			shared = append(shared, fmt.Sprintf("%s and %s", own[at], path))
		}
	})
	return shared
}

// skipped are records that no copy has.
var skipped = map[string]bool{"*time.Location": true, "*imtest.Client": true}

// walk visits every map, list and record that is reachable from a value.
func walk(v reflect.Value, path string, visit func(at uintptr, path string)) {
	seen := make(map[uintptr]bool)
	var step func(v reflect.Value, path string)
	step = func(v reflect.Value, path string) {
		switch v.Kind() {
		case reflect.Map, reflect.Pointer, reflect.Slice:
			if v.IsNil() || v.Kind() == reflect.Slice && v.Cap() == 0 || v.Type().Elem().Kind() == reflect.Uint8 || skipped[v.Type().String()] {
				return
			}
			if seen[v.Pointer()] {
				return
			}
			seen[v.Pointer()] = true
			visit(v.Pointer(), path)
		}
		switch v.Kind() {
		case reflect.Map:
			for _, k := range v.MapKeys() {
				step(k, path+"[key]")
				step(v.MapIndex(k), fmt.Sprintf("%s[%v]", path, k))
			}
		case reflect.Pointer, reflect.Interface:
			step(v.Elem(), path)
		case reflect.Slice:
			for i := range v.Len() {
				step(v.Index(i), fmt.Sprintf("%s[%d]", path, i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				step(v.Field(i), path+"."+v.Type().Field(i).Name)
			}
		}
	}
	step(v, path)
}
