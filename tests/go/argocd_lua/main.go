// Runs a script of Argo CD, written in Lua, on objects, by the Lua that Argo CD has built in.
//
// Stdin has the script's text as a JSON string, then the objects, one JSON value after the other. Each line of stdout is
// an answer: the table that the script returned, or the script's error. As in Argo CD (util/lua/lua.go), the script sees
// the object as `obj`, and of the standard libraries only the base and tables. The library of strings is not there.
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
	Table any    `json:"table"`
	Error string `json:"error"`
}

func ask(script string, object any) answer {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable} {
		state.Push(state.NewFunction(open))
		state.Push(lua.LString(name))
		state.Call(1, 0)
	}
	state.SetGlobal("obj", value(state, object))
	if err := state.DoString(script); err != nil {
		return answer{Error: err.Error()}
	}
	table, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return answer{Error: "the script returned no table"}
	}
	return answer{Table: plain(table)}
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

// plain is the way back. Lua does not know whether an empty table is a list: here, as in Argo CD, it is one.
func plain(from lua.LValue) any {
	switch from := from.(type) {
	case lua.LBool:
		return bool(from)
	case lua.LNumber:
		return float64(from)
	case lua.LString:
		return string(from)
	case *lua.LTable:
		list, fields := []any{}, map[string]any{}
		from.ForEach(func(key, item lua.LValue) {
			if _, isNumber := key.(lua.LNumber); isNumber {
				list = append(list, plain(item))
			} else {
				fields[key.String()] = plain(item)
			}
		})
		if len(fields) > 0 {
			return fields
		}
		return list
	default:
		return nil
	}
}

func main() {
	input := json.NewDecoder(bufio.NewReader(os.Stdin))
	answers := json.NewEncoder(os.Stdout)
	var script string
	if err := input.Decode(&script); err != nil {
		log.Fatal(err)
	}
	for {
		var object any
		if err := input.Decode(&object); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		if err := answers.Encode(ask(script, object)); err != nil {
			log.Fatal(err)
		}
	}
}
