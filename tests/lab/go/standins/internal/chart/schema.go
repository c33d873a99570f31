package chart

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// schema is the part of JSON Schema that the lab's charts use.
type schema struct {
	Type       any                `json:"type"`
	Properties map[string]*schema `json:"properties"`
	Items      *schema            `json:"items"`
	Enum       []any              `json:"enum"`
	Schema     string             `json:"$schema"`
}

// validate refuses values that the chart's values.schema.json refuses.
func (c *Chart) validate(values Values) error {
	if len(c.schema) == 0 {
		return nil
	}
	reader := json.NewDecoder(strings.NewReader(string(c.schema)))
	reader.DisallowUnknownFields()
	var top schema
	if err := reader.Decode(&top); err != nil {
		return fmt.Errorf("the stand-in cannot read values.schema.json: %w", err)
	}
	if problem := top.problem(values, ""); problem != "" {
		return fmt.Errorf("values don't meet the specifications of the schema(s) in the following chart(s):\n%s:\n- %s", c.Metadata.Name, problem)
	}
	return nil
}

// problem is the first thing that is wrong with a value; place is where it is.
func (s *schema) problem(value any, place string) string {
	if types := s.types(); len(types) > 0 && !slices.ContainsFunc(types, func(name string) bool { return isOf(value, name) }) {
		return fmt.Sprintf("at '%s': got %T, want %s", place, value, strings.Join(types, " or "))
	}
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, value) {
		return fmt.Sprintf("at '%s': value must be one of %v", place, s.Enum)
	}
	if fields, is := value.(map[string]any); is {
		for name, inner := range s.Properties {
			if field, found := fields[name]; found {
				if problem := inner.problem(field, place+"/"+name); problem != "" {
					return problem
				}
			}
		}
	}
	if items, is := value.([]any); is && s.Items != nil {
		for number, item := range items {
			if problem := s.Items.problem(item, fmt.Sprintf("%s/%d", place, number)); problem != "" {
				return problem
			}
		}
	}
	return ""
}

func (s *schema) types() []string {
	if name, is := s.Type.(string); is {
		return []string{name}
	}
	names := []string{}
	list, _ := s.Type.([]any)
	for _, name := range list {
		names = append(names, fmt.Sprint(name))
	}
	return names
}

func isOf(value any, name string) bool {
	switch value := value.(type) {
	case nil:
		return name == "null"
	case bool:
		return name == "boolean"
	case string:
		return name == "string"
	case float64:
		return name == "number" || name == "integer" && value == math.Trunc(value)
	case []any:
		return name == "array"
	default:
		return name == "object"
	}
}
