package chart

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"text/template"

	"gopkg.in/yaml.v3"
)

// functions is what templates may call beside text/template's own: those of Helm's that the lab's charts use.
func functions(all *template.Template) template.FuncMap {
	return template.FuncMap{
		"include": func(name string, data any) (string, error) {
			var out strings.Builder
			err := all.ExecuteTemplate(&out, name, data)
			return out.String(), err
		},
		"fail":    func(message string) (string, error) { return "", errors.New(message) },
		"default": orDefault,
		"ternary": func(yes, no any, condition bool) any {
			if condition {
				return yes
			}
			return no
		},
		"toYaml":   toYAML,
		"quote":    func(value any) string { return strconv.Quote(toString(value)) },
		"toString": toString,
		"indent":   indent,
		"nindent":  func(spaces int, text string) string { return "\n" + indent(spaces, text) },
		"join":     join,
		"hasKey": func(mapping map[string]any, key string) bool {
			_, found := mapping[key]
			return found
		},
	}
}

func orDefault(otherwise any, value ...any) any {
	if len(value) == 0 || value[0] == nil || reflect.ValueOf(value[0]).IsZero() || isEmpty(value[0]) {
		return otherwise
	}
	return value[0]
}

func isEmpty(value any) bool {
	switch place := reflect.ValueOf(value); place.Kind() {
	case reflect.Map, reflect.Slice:
		return place.Len() == 0
	default:
		return false
	}
}

func toYAML(value any) (string, error) {
	data, err := yaml.Marshal(whole(value))
	return strings.TrimSuffix(string(data), "\n"), err
}

// whole is the value with numbers such as 3e+06 written out, as Helm writes them.
func whole(value any) any {
	switch value := value.(type) {
	case float64:
		if value == math.Trunc(value) && math.Abs(value) < 1<<53 {
			return int64(value)
		}
	case []any:
		out := make([]any, len(value))
		for number, item := range value {
			out[number] = whole(item)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for key, item := range value {
			out[key] = whole(item)
		}
		return out
	}
	return value
}

func toString(value any) string {
	if value == nil {
		return ""
	}
	return fmt.Sprint(value)
}

func indent(spaces int, text string) string {
	pad := strings.Repeat(" ", spaces)
	return pad + strings.ReplaceAll(text, "\n", "\n"+pad)
}

func join(between string, values any) string {
	place := reflect.ValueOf(values)
	if place.Kind() != reflect.Slice {
		return toString(values)
	}
	texts := make([]string, place.Len())
	for number := range texts {
		texts[number] = toString(place.Index(number).Interface())
	}
	return strings.Join(texts, between)
}
