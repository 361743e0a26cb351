// Says what a health check of Argo CD, written in Lua, makes of an object, by the Lua that Argo CD has built in.
//
// Stdin has the check's text as a JSON string, then the objects, one JSON value after the other. Each line of stdout is
// an answer: the check's status and message, or its error. As in Argo CD (util/lua/lua.go), the check sees the object as
// `obj`, and of the standard libraries only the base, tables and strings.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"

	lua "github.com/yuin/gopher-lua"
)

type answer struct {
	Status  string `json:"status"`
	Message string `json:"message"`
	Error   string `json:"error"`
}

func ask(check string, object any) answer {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable, lua.StringLibName: lua.OpenString,
	} {
		state.Push(state.NewFunction(open))
		state.Push(lua.LString(name))
		state.Call(1, 0)
	}
	state.SetGlobal("obj", value(state, object))
	if err := state.DoString(check); err != nil {
		return answer{Error: err.Error()}
	}
	health, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return answer{Error: "the check returned no table"}
	}
	return answer{lua.LVAsString(health.RawGetString("status")), lua.LVAsString(health.RawGetString("message")), ""}
}

func value(state *lua.LState, from any) lua.LValue {
	switch from := from.(type) {
	case bool:
		return lua.LBool(from)
	case float64:
		return lua.LNumber(from)
	case string:
		return lua.LString(from)
	case []any:
		table := state.NewTable()
		for _, item := range from {
			table.Append(value(state, item))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for key, item := range from {
			table.RawSetString(key, value(state, item))
		}
		return table
	default:
		return lua.LNil
	}
}

func main() {
	input := json.NewDecoder(bufio.NewReader(os.Stdin))
	answers := json.NewEncoder(os.Stdout)
	var check string
	if err := input.Decode(&check); err != nil {
		log.Fatal(err)
	}
	for {
		var object any
		if err := input.Decode(&object); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		if err := answers.Encode(ask(check, object)); err != nil {
			log.Fatal(err)
		}
	}
}
