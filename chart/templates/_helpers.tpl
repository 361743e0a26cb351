{{- /* An image as a container names it. A digest says more than a tag, so that it goes before. Without either the image is
the release's: by the digest that a published chart has in Chart.yaml, or else by the release's tag. Neither is a default
in values.yaml, because an upgrade with --reuse-values would keep the old one. */ -}}
{{- define "region-tick.image" -}}
{{- $released := index (.chart.Annotations | default dict) (printf "region-tick.dev/%s-digest" .name) -}}
{{- with or .image.digest (and (not .image.tag) $released) -}}
{{ printf "%s@%s" $.image.repository . | quote }}
{{- else -}}
{{ printf "%s:%s" .image.repository (.image.tag | default .chart.AppVersion) | quote }}
{{- end -}}
{{- end -}}

{{- /* The settings as environment variables. Whoever has the RegionScheduler in the chart wants none from the operator.
toJson, because Helm writes a large number as 1e+06 otherwise. */ -}}
{{- define "region-tick.settings" -}}
{{- $given := .Values.regionScheduler.create | ternary (dict "BOOTSTRAP" false) dict -}}
{{- range $name, $value := merge (dict) .Values.operator.settings $given }}
- {name: {{ $name }}, value: {{ toJson $value | trimAll "\"" | quote }}}
{{- end -}}
{{- end -}}

{{- /* Those of the settings that the console must have as the operator has them. */ -}}
{{- define "region-tick.console-settings" -}}
{{- range $name, $value := pick .Values.operator.settings "INSTALLATION" "LOG_LEVEL" }}
- {name: {{ $name }}, value: {{ toJson $value | trimAll "\"" | quote }}}
{{- end -}}
{{- end -}}

{{- /* What the ticks are told of the values, as a part of a RegionScheduler's spec: they look for region-tick-database by
themselves. */ -}}
{{- define "region-tick.spec" -}}
{{- $tick := dict -}}
{{- if ne .Values.database.secret "region-tick-database" }}{{ $_ := set $tick "databaseSecret" .Values.database.secret }}{{ end -}}
{{- with .Values.imagePullSecrets }}{{ $_ := set $tick "imagePullSecrets" . }}{{ end -}}
{{- $tick | empty | ternary (dict) (dict "tick" $tick) | toJson -}}
{{- end -}}
