// Renders prompts as Ollama does, with Go's own text/template: a list of cases on stdin, a list of
// prompts on stdout, both JSON. Ollama's options and preparation of messages are repeated here, in
// the language it is written in, so that the Python rendering is held against something else.
package main

import (
	"encoding/json"
	"log"
	"os"
	"strings"
	"text/template"
	"time"
)

type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type Case struct {
	Template string    `json:"template"`
	System   string    `json:"system"`
	Messages []Message `json:"messages"`
}

var functions = template.FuncMap{
	"json": func(value any) string {
		text, _ := json.Marshal(value)
		return string(text)
	},
	"currentDate":   func(...string) string { return time.Now().Format("2006-01-02") },
	"yesterdayDate": func(...string) string { return time.Now().AddDate(0, 0, -1).Format("2006-01-02") },
}

// prepare puts SYSTEM before a conversation that does not begin with a system message, joins
// consecutive messages of one role, and collects what all system messages say.
func prepare(c Case) ([]*Message, string) {
	messages := c.Messages
	if c.System != "" && (len(messages) == 0 || messages[0].Role != "system") {
		messages = append([]Message{{"system", c.System}}, messages...)
	}
	var joined []*Message
	var system []string
	for _, message := range messages {
		if message.Role == "system" {
			system = append(system, message.Content)
		}
		if last := len(joined) - 1; last >= 0 && joined[last].Role == message.Role {
			joined[last].Content += "\n\n" + message.Content
			continue
		}
		joined = append(joined, &Message{message.Role, message.Content})
	}
	return joined, strings.Join(system, "\n\n")
}

func main() {
	var cases []Case
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		log.Fatal(err)
	}
	prompts := make([]string, len(cases))
	for i, c := range cases {
		parsed, err := template.New("").Option("missingkey=zero").Funcs(functions).Parse(c.Template)
		if err != nil {
			log.Fatalf("case %d: %v", i, err)
		}
		messages, system := prepare(c)
		var prompt strings.Builder
		values := map[string]any{"Messages": messages, "System": system, "Response": ""}
		if err := parsed.Execute(&prompt, values); err != nil {
			log.Fatalf("case %d: %v", i, err)
		}
		prompts[i] = prompt.String()
	}
	if err := json.NewEncoder(os.Stdout).Encode(prompts); err != nil {
		log.Fatal(err)
	}
}
