import { Component } from './component';
import { escape } from './layout';

export interface FieldOptions {
  name: string;
  label: string;
  required: boolean;
  pattern?: RegExp;
}

class Field extends Component {
  constructor(private readonly options: FieldOptions) {
    super('input');
  }

  override render(): string {
    const required = this.options.required ? ' required' : '';
    return `<label>${escape(this.options.label)} <input id="${this.id}" name="${this.options.name}"${required}></label>`;
  }
}

export class Form extends Component {
  private readonly fields: Field[];

  constructor(
    readonly name: string,
    options: FieldOptions[],
  ) {
    super('form');
    this.fields = options.map((option) => new Field(option));
  }

  override render(): string {
    return `<form id="${this.id}" name="${this.name}">${this.fields.map((field) => field.render()).join('')}</form>`;
  }
}
